/** Toasts in a corner of the page. They close after a while, but not while hovered or focused. */
import { ICONS, el, icon } from '../../ui/dom';
import { text } from '../../ui/i18n';
import type { OverlayHost } from './overlay-host';

/** Seconds that a toast stays. */
const SHOW_SECONDS = 12;

export interface ToastMessage {
  tone: 'good' | 'warn' | 'info';
  words: string;
  /** Smaller text below. */
  more?: string;
  /** A button below the text. */
  action?: { words: string; act: () => void };
  /** Whether the toast stays until dismissed. */
  sticky?: boolean;
}

const TONE_ICONS = { good: ICONS.done, warn: ICONS.warn, info: ICONS.info };

export class Toasts {
  private readonly box = el('div', { className: 'toasts', popover: 'manual' });
  private readonly live = el('div', { className: 'toast-list', role: 'status' });
  private readonly shown = new Map<string, { element: HTMLElement; left: number; stays: boolean }>();
  private clock = 0;

  constructor(private readonly host: OverlayHost) {
    this.box.append(this.live);
  }

  /** Shows a toast. One with the same `key` is replaced. */
  show(key: string, message: ToastMessage): void {
    this.remove(key);
    const close = el(
      'button',
      { type: 'button', className: 'close', 'aria-label': text('dismiss'), onclick: () => this.remove(key) },
      icon(ICONS.close),
    );
    const { action } = message;
    const words = el(
      'div',
      { className: 'message' },
      el('p', {}, message.words),
      message.more !== undefined && el('p', { className: 'secondary' }, message.more),
      action !== undefined && el('button', { type: 'button', className: 'link', onclick: action.act }, action.words),
    );
    const mark = el('span', { className: 'mark' }, icon(TONE_ICONS[message.tone]));
    const element = el('div', { className: `toast ${message.tone}` }, mark, words, close);
    if (!this.host.has(this.box)) {
      this.host.open(this.box, 'popover');
      this.clock = window.setInterval(() => this.tick(), 1000);
    }
    this.shown.set(key, { element, left: SHOW_SECONDS, stays: message.sticky ?? false });
    this.live.append(element); // only after the live region is in the page: otherwise screen readers skip it
  }

  has(key: string): boolean {
    return this.shown.has(key);
  }

  remove(key: string): void {
    this.shown.get(key)?.element.remove();
    this.shown.delete(key);
    if (this.shown.size > 0 || !this.host.has(this.box)) return;
    window.clearInterval(this.clock);
    this.host.close(this.box);
  }

  private tick(): void {
    for (const [key, toast] of this.shown) {
      if (toast.stays || document.hidden || toast.element.matches(':hover, :focus-within')) continue;
      toast.left -= 1;
      if (toast.left <= 0) this.remove(key);
    }
  }
}
