/**
 * Asking what is wrong: one picker whose text is the issue, and above which the selection, the problems under the
 * cursor and the clipboard are offered. Longer texts are written in an ordinary editor tab.
 */
import * as vscode from 'vscode';
import { SELECTOR, type Server } from './server';
import type { Issue } from './protocol';

interface Source extends vscode.QuickPickItem {
  /** The issue this stands for; undefined: the user gave up. */
  issue?: () => Promise<Issue | undefined>;
}

const MAX_PROBLEMS = 5;

/** Tabs that were opened to write an issue in; "Fix an Issue…" takes their whole text. */
export class Drafts implements vscode.Disposable {
  private readonly drafts = new Set<string>();
  private readonly watching: vscode.Disposable[];

  constructor() {
    this.watching = [
      vscode.window.onDidChangeActiveTextEditor(() => this.show()),
      vscode.workspace.onDidCloseTextDocument((document) => this.drafts.delete(document.uri.toString())),
    ];
  }

  /** Open an empty tab; its title bar has the buttons that start. */
  async open(): Promise<void> {
    const document = await vscode.workspace.openTextDocument({ language: 'markdown' });
    this.drafts.add(document.uri.toString());
    await vscode.window.showTextDocument(document);
    this.show();
  }

  has(document: vscode.TextDocument): boolean {
    return this.drafts.has(document.uri.toString());
  }

  private show(): void {
    const document = vscode.window.activeTextEditor?.document;
    const active = document !== undefined && this.has(document);
    void vscode.commands.executeCommand('setContext', 'patchwright.draftActive', active);
  }

  dispose(): void {
    this.watching.forEach((one) => one.dispose());
  }
}

/** The issue the user means, or undefined when they gave up. `title` says what is done with it. */
export async function askIssue(server: Server, drafts: Drafts, title: string): Promise<Issue | undefined> {
  const editor = vscode.window.activeTextEditor;
  const draft = editor && drafts.has(editor.document) ? editor.document.getText().trim() : '';
  if (draft) {
    return await inFolder({ text: draft }, undefined);
  }
  const sources = [...(await fromEditor(server, editor)), ...others(drafts)];
  const chosen = await pick(title, sources);
  const issue = await chosen?.issue?.();
  return issue && (await inFolder(issue, editor?.document.uri));
}

/** Say which folder is meant: the one of the file in front, the only one, or the one that the user picks. */
async function inFolder(issue: Issue, file: vscode.Uri | undefined): Promise<Issue | undefined> {
  if (issue.uri !== undefined) {
    return issue;
  }
  if (file && vscode.workspace.getWorkspaceFolder(file)) {
    return { ...issue, uri: asUri(file) };
  }
  const folders = vscode.workspace.workspaceFolders ?? [];
  const options = { placeHolder: 'Which folder is it about?' };
  const folder = folders.length > 1 ? await vscode.window.showWorkspaceFolderPick(options) : folders[0];
  return folder && { ...issue, uri: asUri(folder.uri) };
}

/** The server knows the text of these documents, unsaved words included. */
export function isSynced(document: vscode.TextDocument): boolean {
  return vscode.languages.match(SELECTOR, document) > 0;
}

function asUri(uri: vscode.Uri): string {
  return uri.toString();
}

async function fromEditor(server: Server, editor: vscode.TextEditor | undefined): Promise<Source[]> {
  if (!editor) {
    return [];
  }
  const sources: Source[] = [];
  const { document, selection } = editor;
  if (!selection.isEmpty) {
    const text = document.getText(selection);
    const issue: Issue = isSynced(document) ? { uri: asUri(document.uri), range: asRange(selection) } : { text };
    sources.push({ label: '$(list-selection) The selected text', detail: firstLine(text), issue: async () => issue });
  }
  if (isSynced(document)) {
    const here = vscode.languages.getDiagnostics(document.uri).filter((one) => one.range.intersection(selection));
    const problems = here.sort((a, b) => a.severity - b.severity).slice(0, MAX_PROBLEMS);
    for (const problem of problems) {
      const issue = async (): Promise<Issue> => {
        const diagnostic = (await server.ready()).code2ProtocolConverter.asDiagnostic(problem);
        return { uri: asUri(document.uri), diagnostic };
      };
      sources.push({ label: '$(warning) The problem at the cursor', detail: firstLine(problem.message), issue });
    }
  }
  return sources;
}

function others(drafts: Drafts): Source[] {
  const clipboard = async (): Promise<Issue | undefined> => {
    const text = (await vscode.env.clipboard.readText()).trim();
    if (!text) {
      void vscode.window.showWarningMessage('Patchwright: the clipboard holds no text.');
    }
    return text ? { text } : undefined;
  };
  const write = async (): Promise<undefined> => {
    await drafts.open();
    return undefined;
  };
  const test = async (): Promise<Issue | undefined> => {
    const command = await vscode.window.showInputBox({
      title: 'A command that fails',
      prompt: 'It runs in the sandbox; a fix counts as verified when it passes.',
      placeHolder: 'pytest tests/test_number.py::test_metric',
    });
    return command?.trim() ? { test: command.trim() } : undefined;
  };
  return [
    { label: '$(clippy) Paste from the clipboard', detail: 'An issue, a traceback, the output of a test', issue: clipboard },
    { label: '$(note) Write it in an editor…', detail: 'For more than a line', issue: write },
    { label: '$(beaker) A failing test…', detail: 'The command that shows the fault', issue: test },
  ];
}

/** A picker in which typed text is an answer of its own, always the first one. */
function pick(title: string, sources: Source[]): Promise<Source | undefined> {
  return new Promise((resolve) => {
    const picker = vscode.window.createQuickPick<Source>();
    picker.title = title;
    picker.placeholder = 'What is wrong? Type it, or choose';
    picker.ignoreFocusOut = true;
    picker.items = sources;
    picker.onDidChangeValue((value) => {
      const text = value.trim();
      const typed: Source = { label: `$(comment) ${text}`, alwaysShow: true, issue: async () => ({ text }) };
      picker.items = text ? [typed, ...sources] : sources;
    });
    picker.onDidAccept(() => {
      resolve(picker.activeItems[0]);
      picker.hide();
    });
    picker.onDidHide(() => {
      resolve(undefined);
      picker.dispose();
    });
    picker.show();
  });
}

function asRange(range: vscode.Range): NonNullable<Issue['range']> {
  const { start, end } = range;
  return {
    start: { line: start.line, character: start.character },
    end: { line: end.line, character: end.character },
  };
}

function firstLine(text: string): string {
  return text.split('\n').map((line) => line.trim()).find((line) => line !== '') ?? '';
}
