/**
 * The language server as the extension sees it: found, started, watched, started again after a crash.
 *
 * Invariants: nothing is started in a folder that is not trusted, and nothing is installed. A server that dies is
 * seen at once; at most `MAX_CRASHES` within `CRASH_MINUTES` are answered with a new one, each after a longer pause.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import * as os from 'node:os';
import * as vscode from 'vscode';
import { CloseAction, ErrorAction, LanguageClient, RevealOutputChannelOn } from 'vscode-languageclient/node';
import { findServer, type Found } from './findServer';
import { isTracked } from './git';
import { pythonInterpreters } from './python';
import type { Status } from './protocol';
import type { Life } from './words';

export const LANGUAGES = [
  'python', 'javascript', 'javascriptreact', 'typescript', 'typescriptreact', 'go', 'rust', 'java', 'c', 'cpp', 'ruby',
  'php', 'csharp',
];
export const SELECTOR: { scheme: string; language: string }[] = LANGUAGES.map((language) => ({ scheme: 'file', language }));

const MAX_CRASHES = 3;
const CRASH_MINUTES = 5;
const STDERR_LINES = 12;

/** Why something cannot be done now; `button` starts the cure. */
export class NotNow extends Error {
  constructor(
    message: string,
    readonly button?: { title: string; command: string },
    readonly second?: { title: string; command: string },
  ) {
    super(message);
  }
}

const SHOW_LOG = { title: 'Show Log', command: 'patchwright.showLog' };

export class Server implements vscode.Disposable {
  readonly log = vscode.window.createOutputChannel('Patchwright');
  readonly traceLog = vscode.window.createOutputChannel('Patchwright Trace');
  life: Life = 'stopped';
  /** What the server last told of itself. */
  status: Status | undefined;
  /** Why it does not run, with the cure. */
  problem: NotNow | undefined;
  found: Found | undefined;

  private client: LanguageClient | undefined;
  private starting: Promise<void> | undefined;
  private crashes: number[] = [];
  private again: NodeJS.Timeout | undefined;
  private readonly changed = new vscode.EventEmitter<void>();
  /** Fires whenever `life`, `status` or `problem` changed. */
  readonly onDidChange = this.changed.event;
  /** Called for each new client, before it starts. */
  readonly onNewClient: ((client: LanguageClient) => void)[] = [];

  constructor(private readonly quietProgress: (token: string) => boolean) {}

  /** Start, unless it runs or must not. Never throws: what went wrong is `problem`. */
  async start(): Promise<void> {
    this.starting ??= this.tryToStart().finally(() => {
      this.starting = undefined;
    });
    await this.starting;
  }

  /** The running client, started if need be. Throws `NotNow` with the reason and the cure. */
  async ready(): Promise<LanguageClient> {
    if (this.life !== 'running') {
      await this.start();
    }
    if (this.client && this.life === 'running') {
      return this.client;
    }
    throw this.problem ?? new NotNow('The language server is not running.', SHOW_LOG);
  }

  /** One of the server's commands. */
  async command<T>(name: string, argument: object, token?: vscode.CancellationToken): Promise<T> {
    return await this.request<T>(
      'workspace/executeCommand',
      { command: `patchwright.${name}`, arguments: [argument] },
      token,
    );
  }

  async request<T>(method: string, params: object, token?: vscode.CancellationToken): Promise<T> {
    const client = await this.ready();
    // An undefined token would be sent along as a second parameter.
    return await (token ? client.sendRequest<T>(method, params, token) : client.sendRequest<T>(method, params));
  }

  async restart(): Promise<void> {
    this.crashes = [];
    await this.stop();
    await this.start();
  }

  async stop(): Promise<void> {
    clearTimeout(this.again);
    await this.starting;
    const client = this.client;
    this.client = undefined;
    this.become('stopped');
    if (client) {
      await client.dispose().catch((error: unknown) => this.log.appendLine(`Stopping failed: ${String(error)}`));
    }
  }

  dispose(): Promise<void> {
    return this.stop();
  }

  private become(life: Life, problem?: NotNow): void {
    this.life = life;
    this.problem = problem;
    if (life !== 'running') {
      this.status = undefined;
    }
    this.changed.fire();
  }

  private async tryToStart(): Promise<void> {
    if (this.client && this.life === 'running') {
      return;
    }
    clearTimeout(this.again);
    if (!vscode.workspace.isTrusted) {
      const trust = { title: 'Manage Trust', command: 'workbench.trust.manage' };
      this.become('untrusted', new NotNow('Nothing runs in a folder that you have not trusted.', trust));
      return;
    }
    const folders = (vscode.workspace.workspaceFolders ?? []).filter((folder) => folder.uri.scheme === 'file');
    if (folders.length === 0) {
      const open = { title: 'Open Folder…', command: 'workbench.action.files.openFolder' };
      this.become('stopped', new NotNow("Open the project's folder first; a fix is verified with its tests.", open));
      return;
    }
    this.become('starting');
    const found = await this.find(folders.map((folder) => folder.uri.fsPath));
    if (found instanceof NotNow) {
      this.become('missing', found);
      return;
    }
    this.found = found;
    await this.launch(found);
  }

  private async find(folders: string[]): Promise<Found | NotNow> {
    const found = await findServer({
      setting: vscode.workspace.getConfiguration('patchwright').get('path', ''),
      folders,
      home: os.homedir(),
      env: process.env,
      platform: process.platform,
      interpreters: await pythonInterpreters(),
      isTracked,
    });
    if ('command' in found) {
      return found;
    }
    const choose = { title: 'Choose the Command…', command: 'patchwright.choosePath' };
    if (found.badSetting !== undefined) {
      const words = `The setting patchwright.path names ${found.badSetting}, which is no command that can be started.`;
      return new NotNow(words, choose, { title: 'Open Settings', command: 'patchwright.openSettings' });
    }
    this.log.appendLine(`No patchwright command in: ${found.looked.join(', ')}`);
    const words =
      "The patchwright command was not found in the workspace's Python environment or on PATH. Install it, or tell " +
      'where it is.';
    return new NotNow(words, { title: 'How to Install', command: 'patchwright.showInstall' }, choose);
  }

  private async launch(found: Found): Promise<void> {
    const said: string[] = [];
    let child: ChildProcess | undefined;
    let died: (how: string) => void = () => undefined;
    const death = new Promise<string>((resolve) => (died = resolve));

    const client = new LanguageClient(
      'patchwright',
      'Patchwright',
      async () => {
        child = spawn(found.command, ['serve'], { stdio: 'pipe', windowsHide: true });
        child.on('error', (error) => died(error.message));
        child.on('exit', (code, signal) => died(signal ? `signal ${signal}` : `exit code ${code}`));
        child.stderr?.setEncoding('utf8').on('data', (text: string) => {
          said.push(...text.split('\n').filter((line) => line.trim()));
          said.splice(0, said.length - STDERR_LINES);
        });
        return child;
      },
      {
        documentSelector: SELECTOR,
        outputChannel: this.log,
        traceOutputChannel: this.traceLog,
        revealOutputChannelOn: RevealOutputChannelOn.Never,
        initializationFailedHandler: () => false,
        errorHandler: {
          error: () => ({ action: ErrorAction.Continue, handled: true }),
          closed: () => {
            this.lost(client, death);
            return { action: CloseAction.DoNotRestart, handled: true, message: 'The server stopped.' };
          },
        },
        middleware: {
          handleWorkDoneProgress: (token, params, next) => {
            // What has a notification with a cancel button of its own needs no second bar; `end` still cleans up.
            if (params.kind === 'end' || !this.quietProgress(String(token))) {
              next(token, params);
            }
          },
        },
      },
    );
    for (const prepare of this.onNewClient) {
      prepare(client);
    }
    client.onNotification('patchwright/status', (status: Status) => {
      this.status = status;
      this.changed.fire();
    });
    this.client = client;
    this.log.appendLine(`Starting ${found.command} (found through ${found.origin})`);
    const failed = death.then((how) => {
      throw new Error(how);
    });
    failed.catch(() => undefined);
    try {
      await Promise.race([client.start(), failed]);
      this.become('running');
    } catch (error) {
      this.client = undefined;
      const how = error instanceof Error ? error.message : String(error);
      this.log.appendLine(`The server could not be started: ${how}`);
      client.dispose().catch(() => child?.kill());
      this.become('failed', new NotNow(whyNotStarted(found.command, how, said), SHOW_LOG, RETRY));
    }
  }

  /** The server went away by itself. */
  private lost(client: LanguageClient, death: Promise<string>): void {
    if (this.client !== client || this.life !== 'running') {
      return;
    }
    this.client = undefined;
    const now = Date.now();
    this.crashes = [...this.crashes.filter((at) => now - at < CRASH_MINUTES * 60_000), now];
    void death.then((how) => this.log.appendLine(`The server stopped unexpectedly (${how}).`));
    client.dispose().catch(() => undefined);
    if (this.crashes.length > MAX_CRASHES) {
      const words = `The language server stopped unexpectedly ${this.crashes.length} times within ${CRASH_MINUTES} minutes.`;
      this.become('failed', new NotNow(`${words} The log may tell why.`, SHOW_LOG, RETRY));
      void tell(this.problem!);
      return;
    }
    this.become('stopped', new NotNow('The language server stopped unexpectedly and starts again.', SHOW_LOG));
    this.again = setTimeout(() => void this.start(), 500 * 2 ** (this.crashes.length - 1));
  }
}

const RETRY = { title: 'Restart Server', command: 'patchwright.restartServer' };

/** The server's own last words when it had any: they name the cure. */
function whyNotStarted(command: string, how: string, said: string[]): string {
  const words = said.filter((line) => !line.startsWith(' ')).slice(-3).join(' ');
  return `${command} serve ended at once (${how}). ${words || 'Run patchwright doctor in a terminal to see why.'}`;
}

/** Show why something cannot be done, with the buttons that start the cure. */
export async function tell(problem: unknown): Promise<void> {
  if (problem instanceof vscode.CancellationError) {
    return;
  }
  const words = problem instanceof Error ? problem.message : String(problem);
  const buttons = problem instanceof NotNow ? [problem.button, problem.second] : [];
  const offered = buttons.filter((one) => one !== undefined);
  const chosen = await vscode.window.showErrorMessage(`Patchwright: ${words}`, ...offered.map((one) => one.title));
  const button = offered.find((one) => one.title === chosen);
  if (button) {
    await vscode.commands.executeCommand(button.command);
  }
}
