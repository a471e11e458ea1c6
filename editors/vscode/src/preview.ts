/**
 * A fix side by side with the text as it is now, unsaved words included, and its application, whole or in parts.
 *
 * The proposed text is made of the edit that the server would apply at this moment (`codeAction/resolve`), so what is
 * shown is what is done; a fix that no longer fits is said to be withdrawn, with the reason.
 */
import * as vscode from 'vscode';
import type { Server } from './server';
import type { Fix, Position, Range } from './protocol';
import { fixWords } from './words';

export const SCHEME = 'patchwright-fix';

const KEPT_TEXTS = 50;

interface Change {
  uri: vscode.Uri;
  creates: boolean;
  edits: { range: Range; newText: string }[];
}

interface ResolvedAction {
  edit?: {
    documentChanges?: ({ kind: string; uri: string } | { textDocument: { uri: string }; edits: Change['edits'] })[];
  };
}

export class Previews implements vscode.TextDocumentContentProvider {
  /** Proposed texts and the fix each belongs to, by the URI they are shown under. */
  private readonly texts = new Map<string, { text: string; fix: Fix }>();

  private readonly changedText = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changedText.event;

  constructor(private readonly server: Server) {}

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString())?.text ?? '';
  }

  /** The fix that a preview shows. */
  fixOf(uri: vscode.Uri | undefined): Fix | undefined {
    return uri && this.texts.get(uri.toString())?.fix;
  }

  /** Open the side-by-side view: one tab a fix, however many files it changes. */
  async show(fix: Fix): Promise<void> {
    const sides: [vscode.Uri, vscode.Uri, vscode.Uri][] = [];
    for (const change of await this.changes(fix, false)) {
      const before = change.creates ? undefined : await vscode.workspace.openTextDocument(change.uri);
      const after = vscode.Uri.from({ scheme: SCHEME, path: change.uri.path, query: fix.id });
      this.keep(after, before ? changed(before, change.edits) : newFile(change), fix);
      sides.push([change.uri, before ? change.uri : after.with({ query: 'nothing' }), after]);
    }
    const [first] = sides;
    const title = fixWords(fix);
    if (first && sides.length === 1) {
      const name = first[0].path.split('/').pop() ?? '';
      await vscode.commands.executeCommand('vscode.diff', first[1], first[2], `${name}: ${title}`, { preview: true });
    } else if (first) {
      await vscode.commands.executeCommand('vscode.changes', `Fix ${title}`, sides);
    }
  }

  /** Have the server apply a fix. Nothing is saved. Returns whether it was applied. */
  async apply(fix: Fix, withTest: boolean): Promise<boolean> {
    const result = await this.server.command<{ applied: boolean; reason: string | null }>('applyFix', {
      fix: fix.id,
      ...(withTest ? { test: true } : {}),
    });
    if (!result.applied) {
      void vscode.window.showWarningMessage(`Patchwright: not applied: ${result.reason ?? 'the editor refused'}.`);
      return false;
    }
    await this.close(fix);
    const files = fix.files.join(', ');
    const keeps = vscode.workspace.getConfiguration('files').get('autoSave') === 'off' ? 'Not saved yet; ' : '';
    void vscode.window.showInformationMessage(`Patchwright: applied to ${files}. ${keeps}Undo takes it back.`);
    return true;
  }

  /** Let the user tick the parts to apply, in VS Code's own refactoring preview. */
  async applyParts(fix: Fix): Promise<void> {
    const edit = new vscode.WorkspaceEdit();
    for (const change of await this.changes(fix, false)) {
      if (change.creates) {
        edit.createFile(change.uri, { ignoreIfExists: true }, { label: fixWords(fix), needsConfirmation: true });
      }
      for (const [index, one] of change.edits.entries()) {
        const label = `${fixWords(fix)}, part ${index + 1} of ${change.edits.length}`;
        edit.replace(change.uri, asRange(one.range), one.newText, { label, needsConfirmation: true });
      }
    }
    await vscode.workspace.applyEdit(edit);
  }

  private async changes(fix: Fix, withTest: boolean): Promise<Change[]> {
    const action = { title: fix.title, data: { fix: fix.id, ...(withTest ? { test: true } : {}) } };
    const resolved = await this.server.request<ResolvedAction>('codeAction/resolve', action);
    const created = new Set<string>();
    const changes: Change[] = [];
    for (const change of resolved.edit?.documentChanges ?? []) {
      if ('textDocument' in change) {
        const creates = created.has(change.textDocument.uri);
        changes.push({ uri: vscode.Uri.parse(change.textDocument.uri), creates, edits: change.edits });
      } else if (change.kind === 'create') {
        created.add(change.uri);
      }
    }
    return changes;
  }

  /** A view that is still open shows the new text; the oldest are forgotten, never one that was just asked for. */
  private keep(uri: vscode.Uri, text: string, fix: Fix): void {
    this.texts.delete(uri.toString());
    this.texts.set(uri.toString(), { text, fix });
    for (const oldest of [...this.texts.keys()].slice(0, -KEPT_TEXTS)) {
      this.texts.delete(oldest);
    }
    this.changedText.fire(uri);
  }

  private async close(fix: Fix): Promise<void> {
    const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
    const shown = tabs.filter(
      ({ input }) => input instanceof vscode.TabInputTextDiff && this.fixOf(input.modified)?.id === fix.id,
    );
    if (shown.length > 0) {
      await vscode.window.tabGroups.close(shown);
    }
  }
}

/** A document's text with edits made, from the last to the first so that none moves another. */
function changed(document: vscode.TextDocument, edits: Change['edits']): string {
  let text = document.getText();
  const at = (position: Position): number => document.offsetAt(new vscode.Position(position.line, position.character));
  const ordered = [...edits].sort((a, b) => at(b.range.start) - at(a.range.start));
  for (const edit of ordered) {
    text = text.slice(0, at(edit.range.start)) + edit.newText + text.slice(at(edit.range.end));
  }
  return text;
}

function newFile(change: Change): string {
  return change.edits.map((edit) => edit.newText).join('');
}

function asRange(range: Range): vscode.Range {
  return new vscode.Range(range.start.line, range.start.character, range.end.line, range.end.character);
}
