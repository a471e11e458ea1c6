/**
 * Patchwright for VS Code: starts the language server, asks what is wrong, shows jobs, fixes and suspected places.
 * The server decides everything that matters; this extension only asks and shows.
 */
import * as vscode from 'vscode';
import { askIssue, Drafts } from './issues';
import { Jobs } from './jobs';
import { showMessages, showProgress } from './notices';
import { openPlace, Places, testMeant } from './places';
import { Previews, SCHEME } from './preview';
import { ended, type Fix, type Issue, type Job, type SuspectedPlace } from './protocol';
import { Reports } from './report';
import { Server, tell } from './server';
import { createStatusBar, showMenu } from './statusBar';
import { choosePath, runInTerminal, showInstall } from './setup';
import { FixTree } from './tree';
import { fixIcon, fixState, fixWords } from './words';

interface Parts {
  server: Server;
  jobs: Jobs;
  drafts: Drafts;
  places: Places;
  previews: Previews;
  reports: Reports;
}

export function activate(context: vscode.ExtensionContext): void {
  const jobs = new Jobs();
  const isOurs = (token: string): boolean => {
    const kind = jobs.get(token.replace(/^patchwright\//, ''))?.kind;
    return kind === 'fix' || kind === 'locate';
  };
  const server = new Server(isOurs);
  const parts = {
    server,
    jobs,
    drafts: new Drafts(),
    places: new Places(server),
    previews: new Previews(server),
    reports: new Reports(server, vscode.Uri.joinPath(context.extensionUri, 'media', 'patchwright.svg')),
  };
  const tree = new FixTree(jobs, server);
  server.onNewClient.push((client) => {
    client.onNotification('patchwright/jobUpdated', (job: Job) => jobs.update(job));
    showMessages(client, jobs);
  });
  server.onDidChange(() => {
    if (server.life !== 'running' && server.life !== 'starting') {
      jobs.clear();
      tree.refresh();
    }
    void vscode.commands.executeCommand('setContext', 'patchwright.problem', server.problem !== undefined);
  });
  showProgress(jobs, server);
  const isRunning = (): void => {
    void vscode.commands.executeCommand('setContext', 'patchwright.jobRunning', jobs.running().length > 0);
  };
  jobs.listeners.push(isRunning);
  context.subscriptions.push(
    server,
    parts.drafts,
    parts.reports,
    createStatusBar(server, jobs),
    vscode.window.registerTreeDataProvider('patchwright.fixes', tree),
    vscode.window.registerTreeDataProvider('patchwright.places', parts.places),
    vscode.workspace.registerTextDocumentContentProvider(SCHEME, parts.previews),
    vscode.workspace.onDidGrantWorkspaceTrust(() => void server.start()),
    vscode.workspace.onDidChangeWorkspaceFolders(() => server.life === 'stopped' && void server.start()),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('patchwright.path')) {
        void server.restart().then(() => report(server));
      }
    }),
    ...commands(context, parts),
  );
  void server.start().then(() => report(server));
}

/** Say it when the server cannot run; a folder that is not trusted, or none, is no fault. */
function report(server: Server): void {
  if (server.life === 'missing' || server.life === 'failed') {
    void tell(server.problem);
  }
}

/** The commands. Their ids differ from the server's own, which the language client registers itself. */
function commands(context: vscode.ExtensionContext, parts: Parts): vscode.Disposable[] {
  const { server, jobs, drafts, places, previews, reports } = parts;
  const on = (name: string, run: (argument?: unknown) => unknown): vscode.Disposable =>
    vscode.commands.registerCommand(`patchwright.${name}`, async (argument?: unknown) => {
      try {
        return await run(argument);
      } catch (problem) {
        void tell(problem);
        return undefined;
      }
    });
  const issue = async (argument: unknown, title: string): Promise<Issue | undefined> => {
    await server.ready();
    return givenIssue(argument) ?? (await askIssue(server, drafts, title));
  };
  const onFix = (name: string, run: (fix: Fix) => unknown): vscode.Disposable =>
    on(name, async (argument) => {
      const shown = argument instanceof vscode.Uri ? argument : previewed();
      const fix = fixOf(argument) ?? previews.fixOf(shown) ?? (await pickFix(jobs));
      return fix && run(fix);
    });
  const onJob = (name: string, run: (job: Job) => unknown): vscode.Disposable =>
    on(name, async (argument) => {
      const job = jobOf(argument) ?? jobs.fixing()[0];
      return await (job ? run(job) : tell(new Error('there is no search to look into. Start with "Fix an Issue…".')));
    });
  return [
    on('fixIssue', async (argument) => {
      const wrong = await issue(argument, 'Fix an issue');
      return wrong && (await server.command('fix', wrong));
    }),
    on('showLocations', async (argument) => {
      const wrong = await issue(argument, 'Where may it come from?');
      return wrong && (await places.show(wrong));
    }),
    on('showTestLocations', async (argument) => {
      await server.ready();
      return await places.show(testMeant(argument));
    }),
    on('openPlace', (place) => openPlace(place as SuspectedPlace)),
    on('clearPlaces', () => places.clear()),
    on('showFixes', async () => {
      const fix = await pickFix(jobs);
      return fix && (await previews.show(fix));
    }),
    onFix('previewFix', (fix) => previews.show(fix)),
    onFix('applyFoundFix', (fix) => previews.apply(fix, false)),
    onFix('applyWithTest', (fix) => previews.apply(fix, true)),
    onFix('applyParts', (fix) => previews.applyParts(fix)),
    onFix('showProof', (fix) => server.command('showFix', { fix: fix.id })),
    on('thinkLonger', async (argument) => {
      const job = jobOf(argument) ?? jobs.fixing().find(ended);
      if (!job) {
        return tell(new Error('there is no ended fix to go on with. Start with "Fix an Issue…".'));
      }
      return await server.command('fixDeeper', { job: job.job });
    }),
    on('cancelJobs', (argument) => server.command('cancel', only(jobOf(argument)))),
    on('continueJob', (argument) => server.command('resume', only(jobOf(argument)))),
    on('discardJob', (argument) => server.command('discard', only(jobOf(argument)))),
    onJob('showReport', (job) => reports.show(job)),
    onJob('openTrace', (job) => server.command('showTrace', { job: job.job, page: false })),
    on('rebuildIndex', () => server.command('reindex', {})),
    on('restartServer', async () => {
      await server.restart();
      return server.problem && tell(server.problem);
    }),
    on('showLog', () => server.log.show()),
    on('menu', () => showMenu(server, jobs)),
    on('doctor', () => runInTerminal(server, 'doctor')),
    on('pullModel', () => runInTerminal(server, 'models', 'pull')),
    on('choosePath', () => choosePath()),
    on('openSettings', () => vscode.commands.executeCommand('workbench.action.openSettings', 'patchwright.')),
    on('showInstall', () => showInstall(context)),
  ];
}

/** An issue that a keybinding, a menu or another extension passes to a command. */
function givenIssue(argument: unknown): Issue | undefined {
  if (typeof argument === 'string' && argument.trim()) {
    return { text: argument };
  }
  const fields = ['text', 'diagnostic', 'range', 'test'];
  const isIssue = typeof argument === 'object' && argument !== null && fields.some((field) => field in argument);
  return isIssue ? argument : undefined;
}

function jobOf(argument: unknown): Job | undefined {
  return typeof argument === 'object' && argument !== null && 'job' in argument ? (argument as { job: Job }).job : undefined;
}

/** The argument of a command that means one job, or all of them. */
function only(job: Job | undefined): { job?: string } {
  return job ? { job: job.job } : {};
}

function fixOf(argument: unknown): Fix | undefined {
  return typeof argument === 'object' && argument !== null && 'fix' in argument ? (argument as { fix: Fix }).fix : undefined;
}

/** The proposed side of the diff that is in front, if it is one of ours. */
function previewed(): vscode.Uri | undefined {
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  return input instanceof vscode.TabInputTextDiff ? input.modified : undefined;
}

/** Let the user pick among the fixes of the newest job that found some. */
async function pickFix(jobs: Jobs): Promise<Fix | undefined> {
  const job = jobs.newestWithFixes();
  if (!job) {
    const last = jobs.fixing()[0];
    await vscode.window.showInformationMessage(`Patchwright: ${last?.message ?? 'there is no fix yet. Start with "Fix an Issue…".'}`);
    return undefined;
  }
  const items = job.fixes.map((fix) => ({
    label: `$(${fixIcon(fix)}) ${fixWords(fix)}`,
    detail: fixState(fix),
    fix,
  }));
  const options = { title: job.title, placeHolder: 'Enter shows the fix beside your text', matchOnDetail: true };
  return (await vscode.window.showQuickPick(items, options))?.fix;
}
