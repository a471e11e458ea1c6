/** What the search for the server asks of VS Code and git. */
import { execFile } from 'node:child_process';
import * as vscode from 'vscode';

const GIT_MILLISECONDS = 3000;
const PYTHON_MILLISECONDS = 2000;

/** Whether git tracks a file; a folder outside git tracks nothing. No program the repository names is run for it. */
export function isTracked(folder: string, file: string): Promise<boolean> {
  const args = ['-c', 'core.fsmonitor=false', '-C', folder, 'ls-files', '--error-unmatch', '--', file];
  return new Promise((resolve) => {
    execFile('git', args, { timeout: GIT_MILLISECONDS, windowsHide: true }, (error) => resolve(error === null));
  });
}

interface PythonApi {
  environments?: { getActiveEnvironmentPath?: (resource?: vscode.Uri) => { path?: string } | undefined };
}

/** The interpreters chosen in the Python extension, where it is installed; it is not waited for long. */
export async function pythonInterpreters(): Promise<string[]> {
  const extension = vscode.extensions.getExtension<PythonApi>('ms-python.python');
  if (!extension) {
    return [];
  }
  const late = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), PYTHON_MILLISECONDS));
  const api = await Promise.race([Promise.resolve(extension.activate()).catch(() => undefined), late]);
  const ask = api?.environments?.getActiveEnvironmentPath;
  if (!ask) {
    return [];
  }
  const chosen = (vscode.workspace.workspaceFolders ?? []).map((folder) => ask(folder.uri)?.path);
  return [...new Set(chosen.filter((one): one is string => typeof one === 'string' && one !== ''))];
}
