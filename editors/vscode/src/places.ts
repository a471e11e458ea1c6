/**
 * "Show Suspected Locations": the likeliest places of an issue with their reasons, in a picker, and kept in the side
 * bar until the next search. Needs no model. "… for This Test" runs a failing test and follows it.
 */
import * as vscode from 'vscode';
import type { Server } from './server';
import type { Issue, Located, SuspectedPlace } from './protocol';
import { reasonWords, symbolIcon } from './words';

interface Item extends vscode.QuickPickItem {
  place: SuspectedPlace;
}

export class Places implements vscode.TreeDataProvider<SuspectedPlace> {
  private places: SuspectedPlace[] = [];
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly server: Server) {}

  /** Search, with a cancel button, then let the user pick. */
  async show(issue: Issue): Promise<void> {
    const options = { location: vscode.ProgressLocation.Notification, title: 'Patchwright: looking', cancellable: true };
    const found = await vscode.window.withProgress(options, async (_, token) => {
      try {
        return await this.server.request<Located>('patchwright/locate', issue, token);
      } catch (error) {
        if (token.isCancellationRequested) {
          return undefined;
        }
        throw error;
      }
    });
    if (!found) {
      return;
    }
    if (found.problem) {
      void vscode.window.showWarningMessage(`Patchwright: ${found.problem}`);
    }
    this.places = found.locations.length > 0 ? found.locations : found.files.map(wholeFile);
    this.changed.fire();
    void vscode.commands.executeCommand('setContext', 'patchwright.hasPlaces', this.places.length > 0);
    if (this.places.length === 0) {
      void vscode.window.showWarningMessage('Patchwright: nothing in this workspace matches the issue.');
      return;
    }
    await this.pick();
  }

  clear(): void {
    this.places = [];
    this.changed.fire();
    void vscode.commands.executeCommand('setContext', 'patchwright.hasPlaces', false);
  }

  getChildren(place?: SuspectedPlace): SuspectedPlace[] {
    return place ? [] : this.places;
  }

  getTreeItem(place: SuspectedPlace): vscode.TreeItem {
    const item = new vscode.TreeItem(place.name);
    item.iconPath = new vscode.ThemeIcon(symbolIcon(place.kind));
    item.description = `${where(place)} · ${reasonWords(place)}`;
    item.tooltip = `${place.kind} ${place.name}\n${where(place)}\n${reasonWords(place)}`;
    item.accessibilityInformation = { label: `${place.kind} ${place.name}, ${where(place)}. ${reasonWords(place)}` };
    item.command = { title: 'Open', command: 'patchwright.openPlace', arguments: [place] };
    return item;
  }

  private pick(): Promise<void> {
    return new Promise((resolve) => {
      const picker = vscode.window.createQuickPick<Item>();
      picker.title = 'Suspected locations, the likeliest first';
      picker.placeholder = 'Enter opens the place; the list stays in the Patchwright side bar';
      picker.matchOnDescription = true;
      picker.matchOnDetail = true;
      picker.items = this.places.map((place) => ({
        label: `$(${symbolIcon(place.kind)}) ${place.name}`,
        description: where(place),
        detail: reasonWords(place),
        place,
      }));
      picker.onDidAccept(() => {
        const chosen = picker.activeItems[0];
        picker.hide();
        if (chosen) {
          void openPlace(chosen.place);
        }
      });
      picker.onDidHide(() => {
        picker.dispose();
        resolve();
      });
      picker.show();
    });
  }
}

/** The test that the user means: the one clicked in the Test Explorer, else the one at the cursor. */
export function testMeant(argument: unknown): Issue {
  const item = argument as Partial<vscode.TestItem> | undefined;
  const editor = vscode.window.activeTextEditor;
  const uri = item?.uri ?? editor?.document.uri;
  const start = item?.uri ? item.range?.start : editor?.selection.active;
  if (!uri?.path.endsWith('.py')) {
    throw new Error('there is no Python test here. Put the cursor into one, or pick one in the Test Explorer.');
  }
  const place = { line: start?.line ?? 0, character: 0 };
  return { uri: uri.toString(), range: { start: place, end: place }, test: true };
}

/** Open a place at its first line. */
export async function openPlace(place: SuspectedPlace): Promise<void> {
  const start = new vscode.Position(place.range.start.line, place.range.start.character);
  await vscode.window.showTextDocument(vscode.Uri.parse(place.uri), { selection: new vscode.Range(start, start) });
}

function where(place: SuspectedPlace): string {
  return `${vscode.workspace.asRelativePath(vscode.Uri.parse(place.uri))}:${place.range.start.line + 1}`;
}

function wholeFile(file: Located['files'][number]): SuspectedPlace {
  const start = { line: 0, character: 0 };
  const name = vscode.Uri.parse(file.uri).path.split('/').pop() ?? file.uri;
  return { ...file, range: { start, end: start }, name, kind: 'file' };
}
