/** What is shown of jobs, fixes and places, in words and icons. Knows no VS Code, so that it is tested alone. */
import { ended, interrupted, type Fix, type Job, type Status, type SuspectedPlace } from './protocol';

/** What the extension can say of the server without asking it. `stopped`: not started yet, or on the user's word. */
export type Life = 'stopped' | 'untrusted' | 'starting' | 'running' | 'missing' | 'failed';

/** How far a job is: its own message, and how much of the budget is spent. */
export function progressWords(job: Job): string {
  const spent = job.budget > 0 && !ended(job) ? ` (attempt ${Math.min(job.rollouts + 1, job.budget)} of ${job.budget})` : '';
  return `${job.message}${spent}`;
}

/** The share of the budget that is spent, 0 to 100. */
export function percentage(job: Job): number {
  return job.budget > 0 ? Math.min(100, Math.floor((100 * job.rollouts) / job.budget)) : 0;
}

/** A fix in one line; whether it is verified comes first, since that is what counts. */
export function fixWords(fix: Fix): string {
  return `${fix.rank}. ${fix.verified ? 'Verified' : 'Not verified'}: ${fix.verified ? fix.proof : fix.words}`;
}

/** What a reader should know beside the proof. */
export function fixState(fix: Fix): string {
  const said = [fix.title];
  if (fix.applied) {
    said.push('applied');
  } else if (fix.withdrawn) {
    said.push(`withdrawn: ${fix.withdrawn}`);
  }
  if (fix.flags.length > 0) {
    said.push('look closely');
  }
  return said.join(' · ');
}

/** The codicon of a fix, by its evidence. */
export function fixIcon(fix: Fix): string {
  if (fix.withdrawn && !fix.applied) {
    return 'circle-slash';
  }
  const icons: Record<string, string> = {
    failing_test: 'verified-filled',
    reproduced: 'verified',
    regression_only: 'pass',
    parses: 'question',
  };
  return icons[fix.evidence] ?? 'question';
}

export function jobIcon(job: Job): string {
  if (!ended(job)) {
    return 'loading~spin';
  }
  if (interrupted(job)) {
    return 'debug-pause';
  }
  if (job.state === 'failed') {
    return 'error';
  }
  return job.state === 'cancelled' ? 'circle-slash' : job.fixes.some((fix) => fix.verified) ? 'pass-filled' : 'info';
}

/** The codicon of a symbol, by the kind the index gives it. */
export function symbolIcon(kind: string): string {
  const icons: Record<string, string> = { function: 'symbol-function', method: 'symbol-method', class: 'symbol-class' };
  return icons[kind] ?? 'symbol-misc';
}

/** Why a place is suspected, as a sentence. */
export function reasonWords(place: Pick<SuspectedPlace, 'reasons'>): string {
  const words = place.reasons.join(', ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** What the status bar shows. `wrong` colours it. */
export interface StatusLine {
  text: string;
  tooltip: string;
  wrong: boolean;
}

export function statusLine(life: Life, status: Status | undefined, problem: string | undefined, jobs: Job[]): StatusLine {
  const line = (text: string, tooltip: string, wrong = false): StatusLine => ({ text, tooltip, wrong });
  switch (life) {
    case 'untrusted':
      return line('$(shield) Patchwright', problem ?? '');
    case 'missing':
    case 'failed':
      return line('$(error) Patchwright', problem ?? '', true);
    case 'starting':
      return line('$(loading~spin) Patchwright', 'Starting');
    case 'stopped':
      return line('$(circle-outline) Patchwright', problem ?? 'Not started');
    case 'running':
      break;
  }
  const job = jobs[0];
  if (job) {
    const spent = job.budget > 0 ? ` ${Math.min(job.rollouts + 1, job.budget)}/${job.budget}` : '';
    return line(`$(loading~spin) Patchwright: ${job.stage}${spent}`, `${job.title}\n${progressWords(job)}`);
  }
  if (status && status.health !== 'ok') {
    return line('$(warning) Patchwright', status.message);
  }
  if (status && !status.quiescent) {
    return line(`$(loading~spin) Patchwright: ${status.phase}`, status.message);
  }
  return line('$(wrench) Patchwright', status?.message ?? 'Ready');
}
