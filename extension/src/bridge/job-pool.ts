/** Protection jobs of a frame: a few at a time, and one job per photo however many holds wait for it. */
import { readBytes } from '../read-bytes';
import type { PhotoStage, Reply } from '../messages';
import type { Protected, protect, ProgressReporter } from '../protect';

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
  join(photo: Blob, waiting: JobListener): () => void {
    let work: PoolJob | null = null;
    let left = false;
    this.queue = this.queue.then(async () => {
      const same = left ? null : await this.findSame(photo);
      if (left) return;
      work = same ?? this.createJob(photo);
      work.listeners.add(waiting);
      waiting.stage(work.stage);
      if (work.started) waiting.deadline(work.deadline);
      this.startNext();
    });
    return () => {
      left = true;
      if (work !== null) this.leave(work, waiting);
    };
  }

  private createJob(photo: Blob): PoolJob {
    const stage: PhotoStage = { at: 'sending' };
    const work = {
      photo,
      listeners: new Set<JobListener>(),
      controller: new AbortController(),
      started: false,
      stage,
      deadline: null,
    };
    this.jobs.add(work);
    return work;
  }

  private leave(work: PoolJob, waiting: JobListener): void {
    if (!work.listeners.delete(waiting) || work.listeners.size > 0) return;
    this.jobs.delete(work);
    work.controller.abort();
    this.startNext();
  }

  /** Finds a running or queued job of a photo with the same bytes. */
  private async findSame(photo: Blob): Promise<PoolJob | null> {
    for (const work of [...this.jobs]) {
      if (work.photo.size === photo.size && (await haveSameBytes(work.photo, photo)) && this.jobs.has(work))
        return work;
    }
    return null;
  }

  private startNext(): void {
    const all = [...this.jobs];
    const free = this.maxRunning - all.filter(({ started }) => started).length;
    for (const work of all.filter(({ started }) => !started).slice(0, Math.max(0, free))) void this.start(work);
  }

  private async start(work: PoolJob): Promise<void> {
    work.started = true;
    const stage = (stage: PhotoStage): void => {
      work.stage = stage;
      for (const each of work.listeners) each.stage(stage);
    };
    const deadline = (seconds: number | null): void => {
      work.deadline = seconds;
      for (const each of work.listeners) each.deadline(seconds);
    };
    const reply = await this.run(work.photo, { stage, deadline }, work.controller.signal);
    this.jobs.delete(work);
    for (const each of work.listeners) each.done(reply);
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
