/** The status bar item: health, phase and budget at a glance; a click lists what can be done. */
import * as vscode from 'vscode';
import type { Jobs } from './jobs';
import type { Server } from './server';
import { statusLine } from './words';

interface Choice extends vscode.QuickPickItem {
  command: string;
}

export function createStatusBar(server: Server, jobs: Jobs): vscode.Disposable {
  const item = vscode.window.createStatusBarItem('patchwright.status', vscode.StatusBarAlignment.Left, 10);
  item.name = 'Patchwright';
  item.command = 'patchwright.menu';
  const show = (): void => {
    const line = statusLine(server.life, server.status, server.problem?.message, jobs.running());
    item.text = line.text;
    item.tooltip = line.tooltip;
    item.accessibilityInformation = { label: `Patchwright: ${line.tooltip}` };
    item.backgroundColor = line.wrong ? new vscode.ThemeColor('statusBarItem.errorBackground') : undefined;
    item.show();
  };
  server.onDidChange(show);
  jobs.listeners.push(show);
  show();
  return item;
}

/** What a click on the item offers; only what makes sense now. */
export async function showMenu(server: Server, jobs: Jobs): Promise<void> {
  const choices: Choice[] = [];
  const add = (label: string, command: string, detail?: string): void => {
    choices.push({ label, command, ...(detail === undefined ? {} : { detail }) });
  };
  if (server.problem?.button) {
    add(`$(lightbulb) ${server.problem.button.title}`, server.problem.button.command, server.problem.message);
  }
  add('$(wrench) Fix an Issue…', 'patchwright.fixIssue');
  add('$(search) Show Suspected Locations…', 'patchwright.showLocations');
  if (jobs.running().length > 0) {
    add('$(debug-stop) Cancel', 'patchwright.cancelJobs', jobs.running().map((job) => job.title).join(', '));
  }
  if (jobs.newestWithFixes()) {
    add('$(verified) Show Found Fixes', 'patchwright.showFixes');
  }
  if (jobs.fixing().length > 0) {
    add('$(list-tree) Show Search Report', 'patchwright.showReport');
  }
  add('$(output) Show Log', 'patchwright.showLog');
  add('$(pulse) Check This Machine', 'patchwright.doctor');
  add('$(debug-restart) Restart Server', 'patchwright.restartServer');
  const chosen = await vscode.window.showQuickPick(choices, { title: `Patchwright: ${words(server)}` });
  if (chosen) {
    await vscode.commands.executeCommand(chosen.command);
  }
}

function words(server: Server): string {
  return server.status?.message ?? server.problem?.message ?? server.life;
}
