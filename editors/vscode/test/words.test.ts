import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Jobs } from '../src/jobs';
import type { Fix, Job, Status } from '../src/protocol';
import { fixIcon, fixState, fixWords, jobIcon, percentage, progressWords, reasonWords, statusLine } from '../src/words';

const FIX: Fix = {
  id: 'j.1', rank: 1, evidence: 'reproduced', verified: true, words: 'a reproduction passes', title: 'calc.py +1 -1',
  proof: 'reproduction passes, 1 test passes', files: ['calc.py'], flags: [], withdrawn: null, applied: false,
};
const JOB: Job = {
  job: 'j', kind: 'fix', title: 'add is wrong', folder: 'file:///p', stage: 'repair', message: 'writing', cure: '',
  rollouts: 0, budget: 2, bestEvidence: null, state: 'running', stopped: null, notes: [], fixes: [],
};
const IDLE: Status = { health: 'ok', phase: 'idle', message: 'Ready', quiescent: true };

test('progress counts attempts from one, never past the budget, and not after the end', () => {
  assert.equal(progressWords(JOB), 'writing (attempt 1 of 2)');
  assert.equal(progressWords({ ...JOB, rollouts: 2 }), 'writing (attempt 2 of 2)');
  assert.equal(progressWords({ ...JOB, budget: 0 }), 'writing');
  assert.equal(progressWords({ ...JOB, state: 'done', message: '1 fix' }), '1 fix');
  assert.deepEqual([0, 1, 2, 3].map((rollouts) => percentage({ ...JOB, rollouts })), [0, 50, 100, 100]);
});

test('a fix is called verified only when it is, and shows what stands against it', () => {
  assert.equal(fixWords(FIX), '1. Verified: reproduction passes, 1 test passes');
  const unproved = { ...FIX, verified: false, evidence: 'parses', words: 'not run' };
  assert.equal(fixWords(unproved), '1. Not verified: not run');
  assert.equal(fixState({ ...FIX, flags: ['swallows errors'] }), 'calc.py +1 -1 · look closely');
  assert.equal(fixState({ ...FIX, withdrawn: 'its lines were edited' }), 'calc.py +1 -1 · withdrawn: its lines were edited');
  assert.equal(fixState({ ...FIX, withdrawn: 'x', applied: true }), 'calc.py +1 -1 · applied');
  const icons = ['failing_test', 'reproduced', 'regression_only', 'parses', 'newer'].map((evidence) => fixIcon({ ...FIX, evidence }));
  assert.deepEqual(icons, ['verified-filled', 'verified', 'pass', 'question', 'question']);
  assert.equal(fixIcon({ ...FIX, withdrawn: 'x' }), 'circle-slash');
});

test('reasons read as a sentence', () => {
  assert.equal(reasonWords({ reasons: ['named in the traceback', 'its file is suspected'] }), 'Named in the traceback, its file is suspected');
  assert.equal(reasonWords({ reasons: [] }), '');
});

test('the status bar shows what matters most', () => {
  const text = (...given: Parameters<typeof statusLine>): string => statusLine(...given).text;
  assert.equal(text('running', IDLE, undefined, []), '$(wrench) Patchwright');
  assert.equal(text('running', IDLE, undefined, [JOB]), '$(loading~spin) Patchwright: repair 1/2');
  assert.equal(text('running', { ...IDLE, phase: 'indexing', quiescent: false }, undefined, []), '$(loading~spin) Patchwright: indexing');
  assert.equal(text('running', { ...IDLE, health: 'warning', message: 'The engine stopped' }, undefined, []), '$(warning) Patchwright');
  assert.deepEqual(statusLine('missing', undefined, 'not found', []), { text: '$(error) Patchwright', tooltip: 'not found', wrong: true });
  assert.equal(statusLine('untrusted', undefined, 'not trusted', []).wrong, false);
});

test('jobs are kept newest first, and a lost server ends the running ones', () => {
  const jobs = new Jobs();
  const told: string[] = [];
  jobs.listeners.push((job, before) => told.push(`${job.job} ${before?.state} ${job.state}`));
  jobs.update({ ...JOB, job: 'a', state: 'done', fixes: [FIX] });
  jobs.update({ ...JOB, job: 'b' });
  jobs.update({ ...JOB, job: 'i', kind: 'index' });
  assert.deepEqual(jobs.fixing().map((job) => job.job), ['b', 'a']);
  assert.equal(jobs.newestWithFixes()?.job, 'a');
  assert.equal(jobs.running()[0]?.job, 'b');
  told.length = 0;
  jobs.clear();
  assert.deepEqual(told, ['b running failed', 'i running failed']);
  assert.deepEqual(jobs.fixing(), []);
});

test('a job that can go on does not look like one that failed', () => {
  const lost: Job = { ...JOB, state: 'failed', stopped: 'interrupted' };
  assert.equal(jobIcon(lost), 'debug-pause');
  assert.equal(jobIcon({ ...lost, stopped: null }), 'error');
  assert.equal(jobIcon({ ...lost, state: 'running' }), 'loading~spin');
});

test('old jobs that ended are forgotten, running ones never', () => {
  const jobs = new Jobs();
  jobs.update({ ...JOB, job: 'first' });
  for (let number = 0; number < 60; number += 1) {
    jobs.update({ ...JOB, job: `${number}`, state: 'done' });
  }
  assert.equal(jobs.fixing().length, 50);
  assert.equal(jobs.fixing()[0]?.job, '59');
  assert.equal(jobs.get('first')?.state, 'running');
  assert.equal(jobs.get('0'), undefined);
});
