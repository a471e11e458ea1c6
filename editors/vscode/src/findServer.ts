/**
 * Where the `patchwright` command is. Only looks: nothing found here is started, and nothing is installed.
 *
 * The order is: the user's setting, the workspace's Python environment, the environment chosen in the Python
 * extension, PATH, and the folders where pipx and uv put commands (an editor started from a desktop often lacks them
 * on its PATH). An environment that git tracks came with the repository and is passed over: a repository never
 * chooses what runs outside the sandbox.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';

/** Where a command was found, and what to call that place. */
export interface Found {
  command: string;
  origin: string;
}

/** Nothing that can be started was found; `looked` names the places in order. */
export interface Missing {
  /** The setting names a file that is not there or cannot be started. */
  badSetting?: string;
  looked: string[];
}

/** What is known of the machine; a parameter, so that tests can make one up on disk. */
export interface Surroundings {
  setting: string;
  folders: readonly string[];
  home: string;
  env: Readonly<Record<string, string | undefined>>;
  platform: NodeJS.Platform;
  /** The interpreters chosen for the folders, from whoever knows. */
  interpreters: readonly string[];
  /** Whether git tracks anything of an environment that lies in a folder. */
  isTracked: (folder: string, environment: string) => Promise<boolean>;
}

const ENVIRONMENTS = ['.venv', 'venv', 'env'];

/** Find the command. The first place that has it wins; a setting that is wrong is never passed over in silence. */
export async function findServer(around: Surroundings): Promise<Found | Missing> {
  const setting = expandHome(around.setting.trim(), around.home);
  if (setting) {
    const command = fromSetting(setting, around);
    return command ? { command, origin: 'the setting patchwright.path' } : { badSetting: setting, looked: [] };
  }
  const looked: string[] = [];
  for (const folder of around.folders) {
    for (const name of ENVIRONMENTS) {
      const environment = path.join(folder, name);
      looked.push(environment);
      const command = commandIn(scripts(environment, around.platform), around.platform);
      if (command && !(await around.isTracked(folder, environment))) {
        return { command, origin: `the workspace's environment ${name}` };
      }
    }
  }
  for (const interpreter of around.interpreters) {
    looked.push(path.dirname(interpreter));
    const command = commandIn(path.dirname(interpreter), around.platform);
    if (command && !(await cameWithRepository(interpreter, around))) {
      return { command, origin: 'the environment chosen in the Python extension' };
    }
  }
  looked.push('PATH');
  for (const folder of searchPath(around)) {
    const command = commandIn(folder, around.platform);
    if (command) {
      return { command, origin: 'PATH' };
    }
  }
  for (const folder of userFolders(around)) {
    looked.push(folder);
    const command = commandIn(folder, around.platform);
    if (command) {
      return { command, origin: folder };
    }
  }
  return { looked };
}

async function cameWithRepository(interpreter: string, around: Surroundings): Promise<boolean> {
  const folder = around.folders.find((one) => interpreter.startsWith(one + path.sep));
  return folder !== undefined && (await around.isTracked(folder, path.dirname(path.dirname(interpreter))));
}

/** The setting may name the command itself, the folder it lies in, or a virtual environment. */
function fromSetting(setting: string, around: Surroundings): string | undefined {
  if (!path.isAbsolute(setting)) {
    if (setting.includes('/') || setting.includes(path.sep)) {
      return undefined;
    }
    const named = searchPath(around).map((folder) => path.join(folder, setting));
    return named.find((file) => canStart(file, around.platform));
  }
  if (canStart(setting, around.platform)) {
    return setting;
  }
  return (
    commandIn(setting, around.platform) ?? commandIn(scripts(setting, around.platform), around.platform)
  );
}

function searchPath(around: Surroundings): string[] {
  const separator = around.platform === 'win32' ? ';' : ':';
  // A relative entry would be looked up in whatever folder the editor runs in.
  return (around.env['PATH'] ?? around.env['Path'] ?? '').split(separator).filter((one) => path.isAbsolute(one));
}

function userFolders(around: Surroundings): string[] {
  if (around.platform === 'win32') {
    return [path.join(around.home, '.local', 'bin')];
  }
  return [path.join(around.home, '.local', 'bin'), '/opt/homebrew/bin', '/usr/local/bin'];
}

function scripts(environment: string, platform: NodeJS.Platform): string {
  return path.join(environment, platform === 'win32' ? 'Scripts' : 'bin');
}

function commandIn(folder: string, platform: NodeJS.Platform): string | undefined {
  const file = path.join(folder, platform === 'win32' ? 'patchwright.exe' : 'patchwright');
  return canStart(file, platform) ? file : undefined;
}

function canStart(file: string, platform: NodeJS.Platform): boolean {
  try {
    fs.accessSync(file, platform === 'win32' ? fs.constants.F_OK : fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

/** `~` and `~/…` as a shell reads them. */
export function expandHome(file: string, home: string): string {
  return file === '~' || file.startsWith('~/') ? path.join(home, file.slice(1)) : file;
}
