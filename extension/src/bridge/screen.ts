/**
 * Where the person sees a hold: in the overlay of the tab's top frame, because a frame may be hidden or tiny. Where the
 * top frame has no script of ours, a frame shows its own.
 */
import { ask } from '../ask';
import type { Decision, HoldView, ToBridge } from '../messages';
import { makeOverlay, type Overlay } from './overlay';

/** Milliseconds in which changes of one hold are gathered. */
const GATHER = 100;
/** Milliseconds before a hold first shows: what ends sooner must not flash. */
const FIRST = 200;

export class Screen {
  private overlay: Overlay | null = null;
  private readonly due = new Map<string, { view: HoldView | null; timer: ReturnType<typeof setTimeout> }>();
  private readonly top = window === window.top;
  /** The top frame did not answer. */
  private alone = false;
  private readonly shown = new Set<string>();
  private sent = new Set<string>();
  private seen = new Map<string, HoldView>();

  /** `decide`: what the person decided about a hold of this very frame. */
  constructor(private readonly decide: (decision: Decision) => void) {}

  /** null: the hold is gone. */
  show(hold: string, view: HoldView | null): void {
    const waiting = this.due.get(hold);
    if (waiting !== undefined) {
      waiting.view = view;
      return;
    }
    const wait = this.shown.has(hold) ? GATHER : FIRST;
    this.shown.add(hold);
    const entry = { view, timer: setTimeout(() => this.flushOne(hold), wait) };
    this.due.set(hold, entry);
  }

  /** Closes what is shown of a hold, now: the page must be free when it gets its photos. */
  close(hold: string): void {
    clearTimeout(this.due.get(hold)?.timer);
    this.due.delete(hold);
    for (const name of this.sent) if (name.startsWith(`${hold} `)) this.sent.delete(name); // the last view brings its own
    if (this.shown.has(hold)) this.present(hold, null);
  }

  /** From another frame, through the background. */
  relayed({ hold, view, frame }: Extract<ToBridge, { kind: 'show' }>): void {
    const whole = view === null ? null : withPictures(view, this.seen.get(hold));
    if (whole?.holding === true) this.seen.set(hold, whole);
    else this.seen.delete(hold);
    this.draw(hold, whole, frame);
  }

  /** Everything that is due, at once. */
  flush(): void {
    for (const hold of [...this.due.keys()]) this.flushOne(hold);
  }

  private flushOne(hold: string): void {
    const due = this.due.get(hold);
    clearTimeout(due?.timer);
    this.due.delete(hold);
    const view = due?.view ?? null;
    if (view?.holding !== true) this.shown.delete(hold);
    this.present(hold, view);
  }

  private present(hold: string, view: HoldView | null): void {
    if (this.top || this.alone) return this.draw(hold, view, 0);
    void this.relay(hold, view);
  }

  private async relay(hold: string, view: HoldView | null): Promise<void> {
    const reply = await ask('show', { hold, view: view === null ? null : withoutPictures(view, this.sent) });
    if (reply.ok || view === null) return;
    this.alone = true;
    this.draw(hold, view, 0);
  }

  private draw(hold: string, view: HoldView | null, frame: number): void {
    this.overlay ??= makeOverlay((decision, at) => this.decided(decision, at));
    if (view === null) this.overlay.remove(hold);
    else this.overlay.show(view, frame);
  }

  private decided(decision: Decision, frame: number): void {
    if (frame === 0) this.decide(decision);
    else void ask('decide', { decision, frame });
  }
}

/** Pictures are sent once: with many photos in a hold, each step of one would send those of all again. */
export function withoutPictures(view: HoldView, sent: Set<string>): HoldView {
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

/** The pictures that came with an earlier view of the same hold. */
export function withPictures(view: HoldView, earlier: HoldView | undefined): HoldView {
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
