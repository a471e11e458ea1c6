import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { execFileSync } from 'node:child_process';
import { isTracked as trackedByGit } from '../src/git';
import { findServer, type Found, type Missing, type Surroundings } from '../src/findServer';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'patchwright-find-'));
const project = path.join(root, 'project');
const bin = path.join(root, 'bin');
after(() => fs.rmSync(root, { recursive: true }));
beforeEach(() => {
  for (const folder of [project, bin]) {
    fs.rmSync(folder, { recursive: true, force: true });
    fs.mkdirSync(folder);
  }
});

function command(...parts: string[]): string {
  const file = path.join(...parts, 'patchwright');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, '#!/bin/sh\n', { mode: 0o755 });
  return file;
}

function find(more: Partial<Surroundings> = {}): Promise<Found | Missing> {
  return findServer({
    setting: '',
    folders: [project],
    home: path.join(root, 'home'),
    env: { PATH: `relative:${bin}` },
    platform: 'linux',
    interpreters: [],
    isTracked: async () => false,
    ...more,
  });
}

async function found(more: Partial<Surroundings> = {}): Promise<string | undefined> {
  const answer = await find(more);
  return 'command' in answer ? answer.command : undefined;
}

test('the setting wins, as a command, a folder, an environment, a name on PATH, or below home', async () => {
  const own = command(root, 'own', 'bin');
  command(project, '.venv', 'bin');
  const onPath = command(bin);
  command(root, 'home', 'x');
  assert.equal(await found({ setting: own }), own);
  assert.equal(await found({ setting: path.dirname(own) }), own);
  assert.equal(await found({ setting: path.join(root, 'own') }), own);
  assert.equal(await found({ setting: 'patchwright' }), onPath);
  assert.equal(await found({ setting: '~/x' }), path.join(root, 'home', 'x', 'patchwright'));
});

test('a setting that is wrong is said, never passed over', async () => {
  command(bin);
  const text = path.join(root, 'text');
  fs.writeFileSync(text, 'no program', { mode: 0o644 });
  for (const setting of [path.join(root, 'nothing'), text, './patchwright', 'no-such-command']) {
    assert.deepEqual(await find({ setting }), { badSetting: setting, looked: [] });
  }
});

test("the workspace's environment comes before PATH, unless git tracks it", async () => {
  const onPath = command(bin);
  const own = command(project, '.venv', 'bin');
  assert.equal(await found(), own);
  const asked: string[] = [];
  const isTracked = async (folder: string, environment: string): Promise<boolean> => {
    asked.push(path.relative(folder, environment));
    return true;
  };
  assert.equal(await found({ isTracked }), onPath);
  assert.deepEqual(asked, ['.venv']);
  assert.equal(await found({ isTracked, interpreters: [path.join(project, '.venv', 'bin', 'python')] }), onPath);
});

test('the environment chosen in the Python extension comes before PATH', async () => {
  command(bin);
  const chosen = command(root, 'conda', 'bin');
  assert.equal(await found({ interpreters: [path.join(root, 'conda', 'bin', 'python')] }), chosen);
});

test("a relative entry of PATH is never taken, and pipx's folder is looked into last", async () => {
  command(project, 'relative');
  const here = process.cwd();
  process.chdir(project);
  try {
    const own = command(root, 'home', '.local', 'bin');
    assert.equal(await found(), own);
    assert.equal(await found({ env: { PATH: '' } }), own);
    const onPath = command(bin);
    assert.equal(await found(), onPath);
  } finally {
    process.chdir(here);
  }
});

test('when nothing is there, the places that were looked into are told', async () => {
  fs.rmSync(path.join(root, 'home'), { recursive: true, force: true });
  const answer = await find();
  assert.ok('looked' in answer && !('badSetting' in answer));
  assert.deepEqual(answer.looked.slice(0, 4), [
    ...['.venv', 'venv', 'env'].map((name) => path.join(project, name)),
    'PATH',
  ]);
});

test('on Windows the command ends in .exe and environments keep it in Scripts', async () => {
  const file = path.join(project, '.venv', 'Scripts', 'patchwright.exe');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, '');
  assert.equal(await found({ platform: 'win32', env: { Path: '' } }), file);
});

test('git is asked what it tracks; where it cannot tell, a repository is not believed', async () => {
  const environment = path.join(project, '.venv');
  command(environment, 'bin');
  assert.equal(await trackedByGit(project, environment), false);
  execFileSync('git', ['init', '-q', project]);
  assert.equal(await trackedByGit(project, environment), false);
  execFileSync('git', ['-C', project, 'add', '-f', '.venv/bin/patchwright']);
  assert.equal(await trackedByGit(project, environment), true);
  fs.rmSync(path.join(project, '.git', 'HEAD'));
  assert.equal(await trackedByGit(project, environment), true);
});
