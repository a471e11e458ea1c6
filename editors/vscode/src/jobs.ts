/** What is known of jobs, as `patchwright/jobUpdated` last told it, newest last; nothing here asks or shows. */
import { ended, type Fix, type Job } from './protocol';

/** As many as the server keeps. */
const KEPT_JOBS = 50;

/** Called with the job's new state and the one before it. */
export type Listener = (job: Job, before: Job | undefined) => void;

export class Jobs {
  private readonly known = new Map<string, Job>();
  readonly listeners: Listener[] = [];

  update(job: Job): void {
    const before = this.known.get(job.job);
    this.known.set(job.job, job);
    const old = [...this.known.values()].filter(ended).slice(0, Math.max(0, this.known.size - KEPT_JOBS));
    old.forEach((one) => this.known.delete(one.job));
    for (const listener of this.listeners) {
      listener(job, before);
    }
  }

  /** The server went away, and its fixes with it. The next one tells of the jobs that can go on. */
  clear(): void {
    for (const job of [...this.known.values()]) {
      if (!ended(job)) {
        this.update({ ...job, state: 'failed', stage: 'done', message: 'The server stopped.' });
      }
    }
    this.known.clear();
  }

  get(id: string): Job | undefined {
    return this.known.get(id);
  }

  /** Fix jobs, newest first. */
  fixing(): Job[] {
    return [...this.known.values()].filter((job) => job.kind === 'fix').reverse();
  }

  /** The newest job that found something. */
  newestWithFixes(): Job | undefined {
    return this.fixing().find((job) => job.fixes.length > 0);
  }

  running(): Job[] {
    return this.fixing().filter((job) => !ended(job));
  }

  /** The job that found a fix. */
  jobOf(fix: Fix): Job | undefined {
    return this.fixing().find((job) => job.fixes.some((one) => one.id === fix.id));
  }
}
