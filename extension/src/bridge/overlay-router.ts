/**
 * Routes the view of a hold to the overlay of the tab's top frame, because a frame may be hidden or tiny. A frame shows
 * its own overlay where the top frame has no bridge.
 */
import type { BackgroundToBridge, Decision, HoldView } from '../messages';
import { sendRequest } from '../send-request';
import { createOverlay, type Overlay } from './overlay';

/** Milliseconds during which changes of one hold are batched. */
const BATCH_DELAY = 100;
/** Milliseconds before a hold is first shown: one that ends sooner must not flash. */
const FIRST_SHOW_DELAY = 200;

export class OverlayRouter {
  private overlay: Overlay | null = null;
  private readonly pending = new Map<string, { view: HoldView | null; timer: ReturnType<typeof setTimeout> }>();
  private readonly isTopFrame = window === window.top;
  /** The top frame has no bridge. */
  private topFrameMissing = false;
  private readonly shown = new Set<string>();
  private sentPictures = new Set<string>();
  private earlierViews = new Map<string, HoldView>();

  /** `decide`: called with the user's decision about a hold of this frame. */
  constructor(private readonly decide: (decision: Decision) => void) {}

  /** Shows a hold after a delay; null: the hold is gone. */
  show(hold: string, view: HoldView | null): void {
    const waiting = this.pending.get(hold);
    if (waiting !== undefined) {
      waiting.view = view;
      return;
    }
    const wait = this.shown.has(hold) ? BATCH_DELAY : FIRST_SHOW_DELAY;
    this.shown.add(hold);
    const entry = { view, timer: setTimeout(() => this.flushOne(hold), wait) };
    this.pending.set(hold, entry);
  }

  /** Hides a hold immediately: the page must be free when it gets its photos. */
  close(hold: string): void {
    clearTimeout(this.pending.get(hold)?.timer);
    this.pending.delete(hold);
    // The last view carries its own pictures.
    for (const name of this.sentPictures) if (name.startsWith(`${hold} `)) this.sentPictures.delete(name);
    if (this.shown.has(hold)) this.present(hold, null);
  }

  /** Shows a hold of another frame, relayed by the background. */
  showRelayed({ hold, view, frame }: Extract<BackgroundToBridge, { kind: 'show' }>): void {
    const whole = view === null ? null : withEarlierPictures(view, this.earlierViews.get(hold));
    if (whole?.holding === true) this.earlierViews.set(hold, whole);
    else this.earlierViews.delete(hold);
    this.draw(hold, whole, frame);
  }

  /** Shows all pending views immediately. */
  flush(): void {
    for (const hold of [...this.pending.keys()]) this.flushOne(hold);
  }

  private flushOne(hold: string): void {
    const due = this.pending.get(hold);
    clearTimeout(due?.timer);
    this.pending.delete(hold);
    const view = due?.view ?? null;
    if (view?.holding !== true) this.shown.delete(hold);
    this.present(hold, view);
  }

  private present(hold: string, view: HoldView | null): void {
    if (this.isTopFrame || this.topFrameMissing) return this.draw(hold, view, 0);
    void this.relay(hold, view);
  }

  private async relay(hold: string, view: HoldView | null): Promise<void> {
    const reply = await sendRequest('show', {
      hold,
      view: view === null ? null : withoutSentPictures(view, this.sentPictures),
    });
    if (reply.ok || view === null) return;
    this.topFrameMissing = true;
    this.draw(hold, view, 0);
  }

  private draw(hold: string, view: HoldView | null, frame: number): void {
    this.overlay ??= createOverlay((decision, at) => this.onDecision(decision, at));
    if (view === null) this.overlay.remove(hold);
    else this.overlay.show(view, frame);
  }

  private onDecision(decision: Decision, frame: number): void {
    if (frame === 0) this.decide(decision);
    else void sendRequest('decide', { decision, frame });
  }
}

/** Removes pictures that were already sent: otherwise every step of one photo would send those of all photos. */
export function withoutSentPictures(view: HoldView, sent: Set<string>): HoldView {
  const first = (picture: string, name: string): string => {
    if (picture === '' || sent.has(name)) return '';
    sent.add(name);
    return picture;
  };
  const photos = view.photos.map((photo) => {
    const name = `${view.hold} ${photo.id}`;
    const thumbnail = first(photo.thumbnail, `${name} thumbnail`);
    if (photo.stage.at !== 'done') return { ...photo, thumbnail };
    const before = first(photo.stage.before, `${name} before`);
    const after = first(photo.stage.after, `${name} after`);
    return { ...photo, thumbnail, stage: { ...photo.stage, before, after } };
  });
  return { ...view, photos };
}

/** Restores pictures that came with an earlier view of the same hold. */
export function withEarlierPictures(view: HoldView, earlier: HoldView | undefined): HoldView {
  const known = new Map(earlier?.photos.map((photo) => [photo.id, photo]));
  const photos = view.photos.map((photo) => {
    const old = known.get(photo.id);
    const thumbnail = photo.thumbnail || (old?.thumbnail ?? '');
    if (photo.stage.at !== 'done' || old?.stage.at !== 'done') return { ...photo, thumbnail };
    const before = photo.stage.before || old.stage.before;
    const after = photo.stage.after || old.stage.after;
    return { ...photo, thumbnail, stage: { ...photo.stage, before, after } };
  });
  return { ...view, photos };
}
