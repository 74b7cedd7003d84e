/** Photos on their way through the server: a few at once, and the same photo once, however many holds wait for it. */
import { bytesOf } from '../bytes';
import type { PhotoStage, Reply } from '../messages';
import type { Protected, protect, Reporter } from '../protect';

export interface Waiting extends Reporter {
  done(reply: Reply<Protected>): void;
}

interface Work {
  photo: Blob;
  waiting: Set<Waiting>;
  stop: AbortController;
  started: boolean;
  /** For who comes late. */
  stage: PhotoStage;
  deadline: number | null;
}

export class Works {
  private readonly works = new Set<Work>();
  /** One after the other finds its place: two of the same photo would otherwise not see each other. */
  private turn: Promise<void> = Promise.resolve();

  constructor(
    private readonly run: typeof protect,
    private readonly most = 3,
  ) {}

  /** Protects a photo. Call what it returns to wait no more: the last who leaves stops the job. */
  enter(photo: Blob, waiting: Waiting): () => void {
    let work: Work | null = null;
    let left = false;
    this.turn = this.turn.then(async () => {
      const same = left ? null : await this.find(photo);
      if (left) return;
      work = same ?? this.add(photo);
      work.waiting.add(waiting);
      waiting.stage(work.stage);
      if (work.started) waiting.deadline(work.deadline);
      this.next();
    });
    return () => {
      left = true;
      if (work !== null) this.leave(work, waiting);
    };
  }

  private add(photo: Blob): Work {
    const stage: PhotoStage = { at: 'sending' };
    const work = {
      photo,
      waiting: new Set<Waiting>(),
      stop: new AbortController(),
      started: false,
      stage,
      deadline: null,
    };
    this.works.add(work);
    return work;
  }

  private leave(work: Work, waiting: Waiting): void {
    if (!work.waiting.delete(waiting) || work.waiting.size > 0) return;
    this.works.delete(work);
    work.stop.abort();
    this.next();
  }

  /** One that is under way with the same bytes. */
  private async find(photo: Blob): Promise<Work | null> {
    for (const work of [...this.works]) {
      if (work.photo.size === photo.size && (await equal(work.photo, photo)) && this.works.has(work)) return work;
    }
    return null;
  }

  private next(): void {
    const all = [...this.works];
    const free = this.most - all.filter(({ started }) => started).length;
    for (const work of all.filter(({ started }) => !started).slice(0, Math.max(0, free))) void this.start(work);
  }

  private async start(work: Work): Promise<void> {
    work.started = true;
    const stage = (stage: PhotoStage): void => {
      work.stage = stage;
      for (const each of work.waiting) each.stage(stage);
    };
    const deadline = (seconds: number | null): void => {
      work.deadline = seconds;
      for (const each of work.waiting) each.deadline(seconds);
    };
    const reply = await this.run(work.photo, { stage, deadline }, work.stop.signal);
    this.works.delete(work);
    for (const each of work.waiting) each.done(reply);
    this.next();
  }
}

async function equal(one: Blob, other: Blob): Promise<boolean> {
  if (one === other) return true;
  try {
    const [left, right] = await Promise.all([bytesOf(one), bytesOf(other)]);
    return left.length === right.length && left.every((byte, at) => byte === right[at]);
  } catch {
    return false;
  }
}
