/** Saves changed settings immediately, and shows the result beside the heading of their section. */
import { sendRequest } from '../../send-request';
import type { Settings } from '../../settings';
import { el } from '../../ui/dom';
import { text } from '../../ui/i18n';

/** Milliseconds that "Saved" is shown. */
const SAVED_DURATION = 4000;

export class Autosave {
  private readonly status = el('p', { className: 'saved', role: 'status' });
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly saved: (settings: Settings) => void) {}

  section(title: string, ...children: HTMLElement[]): HTMLElement {
    return el(
      'section',
      { className: 'card' },
      el('div', { className: 'section-header' }, el('h2', {}, title), this.status),
      ...children,
    );
  }

  async save(changes: Partial<Settings>): Promise<boolean> {
    const reply = await sendRequest('change', changes);
    if (!reply.ok) {
      this.fail(reply.problem.detail);
      return false;
    }
    this.saved(reply.value);
    this.say(text('saved'), false);
    return true;
  }

  fail(why: string): void {
    this.say(why, true);
  }

  private say(words: string, bad: boolean): void {
    clearTimeout(this.timer);
    this.status.textContent = words;
    this.status.classList.toggle('bad', bad);
    if (!bad) this.timer = setTimeout(() => (this.status.textContent = ''), SAVED_DURATION);
  }
}
