/** Overlay in the top frame of a tab: the dialog for held photos, toasts, and details of protected photos. */
import type { Decision, HoldView, Notice } from '../../messages';
import { type MessageKey, plural, text } from '../../ui/i18n';
import { isWeak } from '../../ui/receipt-text';
import { type DonePhoto, isDone, showDetails } from './details-dialog';
import { type ShownHold, HoldDialog } from './hold-dialog';
import { OverlayHost } from './overlay-host';
import { type ToastMessage, Toasts } from './toasts';

export interface Overlay {
  /** Draws the state of a hold. `frame`: the frame that decisions go to. */
  show(view: HoldView, frame: number): void;
  /** The hold is over, or its frame is gone. Protected photos can still be viewed. */
  remove(hold: string): void;
}

const NOTICES: Record<Notice, { tone: ToastMessage['tone']; words: MessageKey; more: MessageKey; stays: boolean }> = {
  vector: { tone: 'info', words: 'notice_vector', more: 'notice_vector_more', stays: false },
  animation: { tone: 'info', words: 'notice_animation', more: 'notice_animation_more', stays: false },
  'posted-without': { tone: 'warn', words: 'notice_posted', more: 'notice_posted_more', stays: true },
  handle: { tone: 'warn', words: 'notice_handle', more: 'notice_handle_more', stays: true },
};

export function createOverlay(decide: (decision: Decision, frame: number) => void): Overlay {
  const held = new Map<string, ShownHold>();
  const ended = new Set<string>();
  let parts: OverlayParts | null = null; // created on first use: most pages never need it

  return {
    show(view, frame) {
      parts ??= new OverlayParts(decide);
      if (view.notice !== undefined) parts.showNotice(view, view.notice);
      if (view.holding && view.photos.length > 0) {
        held.set(view.hold, { view, frame });
        ended.delete(view.hold);
      } else {
        held.delete(view.hold);
        if (!ended.has(view.hold)) parts.showOutcome(view);
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

class OverlayParts {
  readonly holding: HoldDialog;
  private readonly host = new OverlayHost();
  private readonly toasts = new Toasts(this.host);
  /** Photos protected since the toast appeared. */
  private done: DonePhoto[] = [];

  constructor(decide: (decision: Decision, frame: number) => void) {
    this.holding = new HoldDialog(this.host, decide);
  }

  showNotice(view: HoldView, notice: Notice): void {
    const { words, more, ...how } = NOTICES[notice];
    this.toasts.show(`notice ${notice}`, { ...how, words: text(words), more: text(more, view.site) });
  }

  /** Shows the outcome of a hold as toasts. */
  showOutcome(view: HoldView): void {
    const done = view.photos.filter(isDone);
    const original = view.photos.filter(({ stage }) => stage.at === 'original').length;
    if (done.length > 0) this.showProtected(done);
    if (original > 0) {
      const words = plural(original, 'toast_original_one', 'toast_original_other', view.site);
      this.toasts.show(`original ${view.hold}`, { tone: 'warn', words });
    }
    if (view.photos.length > 0 && done.length + original === 0) {
      this.toasts.show(`nothing ${view.hold}`, { tone: 'info', words: text('toast_nothing', view.site) });
    }
  }

  private showProtected(photos: DonePhoto[]): void {
    this.done = this.toasts.has('done') ? [...this.done, ...photos] : photos;
    const done = this.done;
    const look = (): void => {
      this.toasts.remove('done');
      showDetails(this.host, done);
    };
    const weak = done.filter(({ stage }) => isWeak(stage.receipt)).length;
    const message: ToastMessage =
      weak > 0
        ? { tone: 'warn', words: plural(weak, 'toast_weak_one', 'toast_weak_other'), more: text('toast_weak_more') }
        : { tone: 'good', words: plural(done.length, 'toast_done_one', 'toast_done_other') };
    this.toasts.show('done', { ...message, action: { words: text('see_how'), act: look } });
  }
}
