/**
 * What goes over the wire beside plain LSP: the values of `patchwright/*` and of the server's commands.
 * The server defines them (server/patchwright_server/convert.py); field names are its.
 */

export interface Position {
  line: number;
  character: number;
}

export interface Range {
  start: Position;
  end: Position;
}

/** What is wrong, as `patchwright.fix` and `patchwright/locate` take it. */
export interface Issue {
  text?: string;
  uri?: string;
  diagnostic?: unknown;
  range?: Range;
  /** A test's id, or a command that names it; `true` (for `patchwright/locate` alone): the test at `range`. */
  test?: string | true;
  budget?: string;
}

export type JobState = 'starting' | 'running' | 'done' | 'cancelled' | 'failed';

/** A fix a job found. `withdrawn` says why it no longer fits. */
export interface Fix {
  id: string;
  rank: number;
  evidence: string;
  verified: boolean;
  words: string;
  proof: string;
  title: string;
  files: string[];
  flags: string[];
  withdrawn: string | null;
  applied: boolean;
}

/** `patchwright/jobUpdated`. */
export interface Job {
  job: string;
  kind: 'fix' | 'index' | 'locate';
  title: string;
  folder: string;
  stage: string;
  message: string;
  cure: string;
  rollouts: number;
  budget: number;
  bestEvidence: string | null;
  state: JobState;
  stopped: string | null;
  notes: string[];
  fixes: Fix[];
}

/** `patchwright/status`. */
export interface Status {
  health: 'ok' | 'warning';
  phase: 'idle' | 'indexing' | 'locating' | 'fixing';
  message: string;
  quiescent: boolean;
}

/** One run of a fix's proof. `before` and `after` are outcomes in words. */
export interface Run {
  kind: string;
  command: string;
  exit: number;
  before: string;
  after: string;
  seconds: number;
}

/** The answer of `patchwright.showFix`. */
export interface FixReport extends Fix {
  diff: string;
  explanation: string;
  runs: Run[];
  differences: string[];
  test: { path: string; source: string } | null;
  uris: string[];
}

/** A place of `patchwright/locate`. */
export interface SuspectedPlace {
  uri: string;
  range: Range;
  name: string;
  kind: string;
  score: number;
  reasons: string[];
}

/** The answer of `patchwright/locate`. */
export interface Located {
  locations: SuspectedPlace[];
  files: { uri: string; score: number; reasons: string[] }[];
  seconds: number;
  /** Why the failing test that was named was not followed. */
  problem?: string;
}

export const ENDED: ReadonlySet<JobState> = new Set(['done', 'cancelled', 'failed']);

/** Whether nothing more will come of a job. */
export function ended(job: Job): boolean {
  return ENDED.has(job.state);
}

/** Whether a job's process died and it can go on: `patchwright.resume`. */
export function interrupted(job: Job): boolean {
  return ended(job) && job.stopped === 'interrupted';
}
