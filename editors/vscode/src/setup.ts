/** What a first user needs: the command's place, how to install it, and its own set-up commands in a terminal. */
import * as vscode from 'vscode';
import type { Server } from './server';

/** Run one of Patchwright's own commands where its output and progress can be read. */
export async function runInTerminal(server: Server, ...args: string[]): Promise<void> {
  if (!server.found) {
    await server.ready(); // a server that was found but does not start is just when `doctor` is wanted
  }
  if (!server.found) {
    return;
  }
  const execution = new vscode.ProcessExecution(server.found.command, args);
  const name = `patchwright ${args.join(' ')}`;
  const task = new vscode.Task({ type: 'patchwright', args }, vscode.TaskScope.Workspace, name, 'patchwright', execution);
  task.presentationOptions = { reveal: vscode.TaskRevealKind.Always, panel: vscode.TaskPanelKind.Dedicated, clear: true };
  await vscode.tasks.executeTask(task);
}

/** Let the user point at the command; written to their own settings, never to the workspace's. */
export async function choosePath(): Promise<void> {
  const chosen = await vscode.window.showOpenDialog({
    title: 'The patchwright command, or the virtual environment that holds it',
    openLabel: 'Use',
    canSelectFiles: true,
    canSelectFolders: process.platform !== 'win32',
  });
  const file = chosen?.[0];
  if (file) {
    await vscode.workspace
      .getConfiguration('patchwright')
      .update('path', file.fsPath, vscode.ConfigurationTarget.Global);
  }
}

export async function showInstall(context: vscode.ExtensionContext): Promise<void> {
  const walkthrough = `${context.extension.id}#patchwright.start`;
  await vscode.commands.executeCommand('workbench.action.openWalkthrough', walkthrough, false);
}
