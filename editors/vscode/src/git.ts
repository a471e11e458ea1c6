/** What git knows of the workspace. */
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

const GIT_MILLISECONDS = 3000;
const LISTED_BYTES = 64 * 1024 * 1024;

/** Whether git tracks anything of an environment in a folder. No program that the repository names is run for it. */
export function isTracked(folder: string, environment: string): Promise<boolean> {
  const args = ['-c', 'core.fsmonitor=false', '-C', folder, 'ls-files', '-z', '--', environment];
  return new Promise((resolve) => {
    execFile('git', args, { timeout: GIT_MILLISECONDS, windowsHide: true, maxBuffer: LISTED_BYTES }, (error, listed) => {
      // Where git cannot tell, a repository's environment is not trusted.
      resolve(error ? fs.existsSync(path.join(folder, '.git')) : listed !== '');
    });
  });
}
