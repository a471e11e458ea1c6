/** What the Python extension knows of the workspace. */
import * as vscode from 'vscode';

const PYTHON_MILLISECONDS = 2000;

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
