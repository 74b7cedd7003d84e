/** One hold at work: carries out what the state machine says, and shows how it stands. */
import type { Decision, Hold, Settled, Verdict } from '../messages';
import { PREVIEW, previews, THUMBNAIL } from '../previews';
import { open, step, viewOf, type Effect, type Happening, type State } from './hold';
import type { Screen } from './screen';
import type { Works } from './works';

/** What a hold needs around it. `under`: its name in the whole tab. */
export interface Around {
  under: string;
  site: string;
  works: Works;
  screen: Pick<Screen, 'show' | 'close'>;
  verdict(verdicts: Record<string, Verdict>, settled: Settled[]): void;
  /** The last view was shown. */
  over(): void;
}

/** Holds with more photos are shown without pictures before and after: those of hundreds would fill the memory. */
const MOST_PICTURES = 24;
/** Milliseconds for the pictures of a hold that is over. */
const LAST_PICTURES = 3000;
/** Milliseconds before a photo is drawn small: a hold that ends sooner needs no picture of what it waits for. */
const FIRST_PICTURE = 150;

export class Held {
  private state: State;
  private readonly files: Map<string, Blob>;
  private readonly leave = new Map<string, () => void>();
  private pictures: Promise<unknown> = Promise.resolve();
  private readonly results = new Map<string, Blob>();
  private dropped = false;

  constructor(
    hold: Hold,
    private readonly around: Around,
  ) {
    this.files = new Map(hold.photos.map(({ id, file }) => [id, file]));
    const opened = open(hold, around.site, Date.now());
    this.state = opened.state;
    this.show(true);
    setTimeout(() => {
      for (const { id, file } of hold.photos) this.draw(() => this.drawThumbnail(id, file));
    }, FIRST_PICTURE);
    for (const effect of opened.effects) this.carryOut(effect);
  }

  decide(decision: Pick<Decision, 'photo' | 'choice'>): void {
    this.happen({ is: 'decided', decision });
  }

  /** The page went on without it, or goes away. */
  drop(): void {
    this.dropped = true;
    this.around.screen.show(this.around.under, null);
    this.happen({ is: 'dropped' });
  }

  private happen(happening: Happening): void {
    const before = this.state;
    const { state, effects } = step(before, happening, Date.now());
    this.state = state;
    if (state !== before && !state.over) this.show(true);
    for (const effect of effects) this.carryOut(effect);
  }

  private show(holding: boolean): void {
    if (!this.dropped) this.around.screen.show(this.around.under, viewOf(this.state, this.around.under, holding));
  }

  private carryOut(effect: Effect): void {
    switch (effect.do) {
      case 'start':
        return this.start(effect.photo);
      case 'stop':
        this.leave.get(effect.photo)?.();
        this.leave.delete(effect.photo);
        return;
      case 'verdict':
        this.around.verdict(effect.verdicts, effect.settled);
        void this.end();
    }
  }

  private start(photo: string): void {
    const original = this.files.get(photo);
    if (original === undefined) return;
    const leave = this.around.works.enter(original, {
      stage: (stage) => this.happen({ is: 'stage', photo, stage }),
      deadline: (deadline) => this.happen({ is: 'deadline', photo, deadline }),
      done: (reply) => {
        this.leave.delete(photo);
        if (!reply.ok) return this.happen({ is: 'failed', photo, problem: reply.problem });
        const { file, receipt } = reply.value;
        this.results.set(photo, file);
        this.happen({ is: 'protected', photo, file, receipt });
      },
    });
    this.leave.set(photo, leave);
  }

  /** The verdict is given, and the page is free; then the person sees the last of it, with its pictures. */
  private async end(): Promise<void> {
    if (!this.dropped) this.around.screen.close(this.around.under);
    const done = this.state.photos.filter(({ stage }) => stage.at === 'done');
    for (const { id } of done) this.draw(() => this.drawBoth(id));
    if (!this.dropped && done.length > 0) {
      await Promise.race([this.pictures, new Promise((resolve) => setTimeout(resolve, LAST_PICTURES))]);
    }
    this.show(false);
    this.around.over();
  }

  /** One after the other: each is a whole decoded photo. */
  private draw(drawing: () => Promise<void>): void {
    this.pictures = this.pictures.then(() => (this.dropped ? undefined : drawing()));
  }

  private async drawThumbnail(photo: string, file: Blob): Promise<void> {
    if (this.state.over) return;
    const [thumbnail] = await previews(file, [THUMBNAIL]);
    this.happen({ is: 'thumbnail', photo, thumbnail });
  }

  /** Once nothing waits for it any more: drawing large photos takes the page's own time. */
  private async drawBoth(photo: string): Promise<void> {
    const [original, result] = [this.files.get(photo), this.results.get(photo)];
    if (original === undefined || result === undefined) return;
    const few = this.files.size <= MOST_PICTURES;
    const [thumbnail, before] = await previews(original, [THUMBNAIL, few ? PREVIEW : THUMBNAIL]);
    this.happen({ is: 'thumbnail', photo, thumbnail });
    if (!few) return;
    const [after] = await previews(result, [PREVIEW]);
    this.happen({ is: 'previews', photo, before, after });
  }
}
