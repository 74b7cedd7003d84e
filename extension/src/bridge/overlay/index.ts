/** What the person sees of held photos, in the top frame of a tab. */
import type { Decision, HoldView, Notice } from '../../messages';
import { type Key, count, text } from '../../ui/text';
import { isWeak } from '../../ui/words';
import { type DonePhoto, isDone, showDetails } from './details';
import { type Held, Holding } from './holding';
import { Host } from './host';
import { type Message, Toasts } from './toast';

export interface Overlay {
  /** Draws how a hold stands. `frame`: where decisions about it go. */
  show(view: HoldView, frame: number): void;
  /** The hold is over, or its frame is gone. What was protected can still be looked at. */
  remove(hold: string): void;
}

const NOTICES: Record<Notice, { tone: Message['tone']; words: Key; more: Key; stays: boolean }> = {
  vector: { tone: 'info', words: 'notice_vector', more: 'notice_vector_more', stays: false },
  animation: { tone: 'info', words: 'notice_animation', more: 'notice_animation_more', stays: false },
  'posted-without': { tone: 'warn', words: 'notice_posted', more: 'notice_posted_more', stays: true },
  handle: { tone: 'warn', words: 'notice_handle', more: 'notice_handle_more', stays: true },
};

export function makeOverlay(decide: (decision: Decision, frame: number) => void): Overlay {
  const held = new Map<string, Held>();
  const ended = new Set<string>();
  let parts: Parts | null = null; // most pages never need one

  return {
    show(view, frame) {
      parts ??= new Parts(decide);
      if (view.notice !== undefined) parts.notice(view, view.notice);
      if (view.holding && view.photos.length > 0) {
        held.set(view.hold, { view, frame });
        ended.delete(view.hold);
      } else {
        held.delete(view.hold);
        if (!ended.has(view.hold)) parts.ended(view);
        ended.add(view.hold);
      }
      parts.holding.update([...held.values()]);
    },
    remove(hold) {
      ended.delete(hold);
      if (held.delete(hold)) parts?.holding.update([...held.values()]);
    },
  };
}

class Parts {
  readonly holding: Holding;
  private readonly host = new Host();
  private readonly toasts = new Toasts(this.host);
  /** Protected since the toast came up. */
  private done: DonePhoto[] = [];

  constructor(decide: (decision: Decision, frame: number) => void) {
    this.holding = new Holding(this.host, decide);
  }

  notice(view: HoldView, notice: Notice): void {
    const { words, more, ...how } = NOTICES[notice];
    this.toasts.tell(`notice ${notice}`, { ...how, words: text(words), more: text(more, view.site) });
  }

  /** The verdict is given: what became of the photos, in one short word each. */
  ended(view: HoldView): void {
    const done = view.photos.filter(isDone);
    const original = view.photos.filter(({ stage }) => stage.at === 'original').length;
    if (done.length > 0) this.protected(done);
    if (original > 0) {
      const words = count(original, 'toast_original_one', 'toast_original_other', view.site);
      this.toasts.tell(`original ${view.hold}`, { tone: 'warn', words });
    }
    if (view.photos.length > 0 && done.length + original === 0) {
      this.toasts.tell(`nothing ${view.hold}`, { tone: 'info', words: text('toast_nothing', view.site) });
    }
  }

  private protected(photos: DonePhoto[]): void {
    this.done = this.toasts.shows('done') ? [...this.done, ...photos] : photos;
    const done = this.done;
    const look = (): void => {
      this.toasts.drop('done');
      showDetails(this.host, done);
    };
    const weak = done.filter(({ stage }) => isWeak(stage.receipt)).length;
    const message: Message =
      weak > 0
        ? { tone: 'warn', words: count(weak, 'toast_weak_one', 'toast_weak_other'), more: text('toast_weak_more') }
        : { tone: 'good', words: count(done.length, 'toast_done_one', 'toast_done_other') };
    this.toasts.tell('done', { ...message, action: { words: text('see_how'), act: look } });
  }
}
