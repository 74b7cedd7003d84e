/** Protection jobs of a frame: a few at a time, and one job per photo however many holds wait for it. */
import type { PhotoStage, Reply } from '../messages';
import type { ProgressReporter, Protected, protect } from '../protect';
import { readBytes } from '../read-bytes';

export interface JobListener extends ProgressReporter {
  done(reply: Reply<Protected>): void;
}

interface PoolJob {
  photo: Blob;
  listeners: Set<JobListener>;
  controller: AbortController;
  started: boolean;
  /** Last stage, for listeners that join later. */
  stage: PhotoStage;
  deadline: number | null;
}

export class JobPool {
  private readonly jobs = new Set<PoolJob>();
  /** Serialises `join`: two joins of the same photo must find each other. */
  private queue: Promise<void> = Promise.resolve();

  constructor(
    private readonly run: typeof protect,
    private readonly maxRunning = 3,
  ) {}

  /** Protects a photo. Returns a function that leaves the job; the last listener that leaves stops it. */
  join(photo: Blob, listener: JobListener): () => void {
    let job: PoolJob | null = null;
    let left = false;
    this.queue = this.queue.then(async () => {
      const found = left ? null : await this.findSame(photo);
      if (left) return;
      job = found ?? this.createJob(photo);
      job.listeners.add(listener);
      listener.stage(job.stage);
      if (job.started) listener.deadline(job.deadline);
      this.startNext();
    });
    return () => {
      left = true;
      if (job !== null) this.leave(job, listener);
    };
  }

  private createJob(photo: Blob): PoolJob {
    const stage: PhotoStage = { at: 'sending' };
    const job = {
      photo,
      listeners: new Set<JobListener>(),
      controller: new AbortController(),
      started: false,
      stage,
      deadline: null,
    };
    this.jobs.add(job);
    return job;
  }

  private leave(job: PoolJob, listener: JobListener): void {
    if (!job.listeners.delete(listener) || job.listeners.size > 0) return;
    this.jobs.delete(job);
    job.controller.abort();
    this.startNext();
  }

  /** Finds a running or queued job of a photo with the same bytes. */
  private async findSame(photo: Blob): Promise<PoolJob | null> {
    for (const job of [...this.jobs]) {
      if (job.photo.size === photo.size && (await haveSameBytes(job.photo, photo)) && this.jobs.has(job)) return job;
    }
    return null;
  }

  private startNext(): void {
    const all = [...this.jobs];
    const free = this.maxRunning - all.filter(({ started }) => started).length;
    for (const job of all.filter(({ started }) => !started).slice(0, Math.max(0, free))) void this.start(job);
  }

  private async start(job: PoolJob): Promise<void> {
    job.started = true;
    const stage = (stage: PhotoStage): void => {
      job.stage = stage;
      for (const each of job.listeners) each.stage(stage);
    };
    const deadline = (seconds: number | null): void => {
      job.deadline = seconds;
      for (const each of job.listeners) each.deadline(seconds);
    };
    const reply = await this.run(job.photo, { stage, deadline }, job.controller.signal);
    this.jobs.delete(job);
    for (const each of job.listeners) each.done(reply);
    this.startNext();
  }
}

async function haveSameBytes(one: Blob, other: Blob): Promise<boolean> {
  if (one === other) return true;
  try {
    const [left, right] = await Promise.all([readBytes(one), readBytes(other)]);
    return left.length === right.length && left.every((byte, at) => byte === right[at]);
  } catch {
    return false;
  }
}
