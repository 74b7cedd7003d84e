/** Runs one hold: feeds the reducer with events, carries out its effects, shows its state in the overlay. */
import type { Decision, Hold, PhotoOutcome, Verdict } from '../messages';
import { drawPreviews, PREVIEW_EDGE, THUMBNAIL_EDGE } from '../previews';
import { sleep } from '../sleep';
import { openHold, reduceHold, viewOfHold, type HoldEffect, type HoldEvent, type HoldState } from './hold-reducer';
import type { JobPool } from './job-pool';
import type { OverlayRouter } from './overlay-router';

/** `tabHoldId`: id of the hold that is unique in its tab. */
interface HoldContext {
  tabHoldId: string;
  site: string;
  jobPool: JobPool;
  overlay: Pick<OverlayRouter, 'show' | 'close'>;
  verdict(verdicts: Record<string, Verdict>, settled: PhotoOutcome[]): void;
  /** Called after the last view was shown. */
  ended(): void;
}

/** Holds with more photos show no before and after previews: hundreds of them would fill the memory. */
const MAX_PHOTOS_WITH_PREVIEWS = 24;
/** Milliseconds to wait for the previews of a finished hold. */
const FINAL_PREVIEWS_TIMEOUT = 3000;
/** Milliseconds before thumbnails are drawn: a hold that ends sooner needs none. */
const THUMBNAIL_DELAY = 150;

export class HoldController {
  private state: HoldState;
  private readonly files: Map<string, Blob>;
  private readonly leaveJob = new Map<string, () => void>();
  private drawing: Promise<unknown> = Promise.resolve();
  private readonly results = new Map<string, Blob>();
  private dropped = false;

  constructor(
    hold: Hold,
    private readonly context: HoldContext,
  ) {
    this.files = new Map(hold.photos.map(({ id, file }) => [id, file]));
    const opened = openHold(hold, context.site, Date.now());
    this.state = opened.state;
    this.show(true);
    setTimeout(() => {
      for (const { id, file } of hold.photos) this.queueDrawing(() => this.drawThumbnail(id, file));
    }, THUMBNAIL_DELAY);
    for (const effect of opened.effects) this.runEffect(effect);
  }

  decide(decision: Pick<Decision, 'photo' | 'choice'>): void {
    this.dispatch({ type: 'decided', decision });
  }

  /** The page no longer waits for the photos, or is being left. */
  drop(): void {
    this.dropped = true;
    this.context.overlay.show(this.context.tabHoldId, null);
    this.dispatch({ type: 'dropped' });
  }

  private dispatch(event: HoldEvent): void {
    const before = this.state;
    const { state, effects } = reduceHold(before, event, Date.now());
    this.state = state;
    if (state !== before && !state.over) this.show(true);
    for (const effect of effects) this.runEffect(effect);
  }

  private show(holding: boolean): void {
    if (!this.dropped)
      this.context.overlay.show(this.context.tabHoldId, viewOfHold(this.state, this.context.tabHoldId, holding));
  }

  private runEffect(effect: HoldEffect): void {
    switch (effect.type) {
      case 'start':
        return this.start(effect.photo);
      case 'stop':
        this.leaveJob.get(effect.photo)?.();
        this.leaveJob.delete(effect.photo);
        return;
      case 'verdict':
        this.context.verdict(effect.verdicts, effect.settled);
        void this.end();
    }
  }

  private start(photo: string): void {
    const original = this.files.get(photo);
    if (original === undefined) return;
    const leave = this.context.jobPool.join(original, {
      stage: (stage) => this.dispatch({ type: 'stage', photo, stage }),
      deadline: (deadline) => this.dispatch({ type: 'deadline', photo, deadline }),
      done: (reply) => {
        this.leaveJob.delete(photo);
        if (!reply.ok) return this.dispatch({ type: 'failed', photo, problem: reply.problem });
        const { file, receipt } = reply.value;
        this.results.set(photo, file);
        this.dispatch({ type: 'protected', photo, file, receipt });
      },
    });
    this.leaveJob.set(photo, leave);
  }

  /** After the verdict: closes the overlay first, so that the page is free, then shows the outcome with previews. */
  private async end(): Promise<void> {
    if (!this.dropped) this.context.overlay.close(this.context.tabHoldId);
    const done = this.state.photos.filter(({ stage }) => stage.at === 'done');
    for (const { id } of done) this.queueDrawing(() => this.drawBoth(id));
    if (!this.dropped && done.length > 0) {
      await Promise.race([this.drawing, sleep(FINAL_PREVIEWS_TIMEOUT)]);
    }
    this.show(false);
    this.context.ended();
  }

  /** Draws one picture at a time: each needs a whole decoded photo in memory. */
  private queueDrawing(drawing: () => Promise<void>): void {
    this.drawing = this.drawing.then(() => (this.dropped ? undefined : drawing()));
  }

  private async drawThumbnail(photo: string, file: Blob): Promise<void> {
    if (this.state.over) return;
    const [thumbnail] = await drawPreviews(file, [THUMBNAIL_EDGE]);
    this.dispatch({ type: 'thumbnail', photo, thumbnail });
  }

  /** Draws previews only after the verdict: large photos block the page while they are drawn. */
  private async drawBoth(photo: string): Promise<void> {
    const [original, result] = [this.files.get(photo), this.results.get(photo)];
    if (original === undefined || result === undefined) return;
    const few = this.files.size <= MAX_PHOTOS_WITH_PREVIEWS;
    const [thumbnail, before] = await drawPreviews(original, [THUMBNAIL_EDGE, few ? PREVIEW_EDGE : THUMBNAIL_EDGE]);
    this.dispatch({ type: 'thumbnail', photo, thumbnail });
    if (!few) return;
    const [after] = await drawPreviews(result, [PREVIEW_EDGE]);
    this.dispatch({ type: 'previews', photo, before, after });
  }
}
