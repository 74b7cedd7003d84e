/** One held photo in the list. It is kept over updates, so that the focus stays where it is. */
import type { Decision, PhotoView } from '../../messages';
import { el, freshId } from '../../ui/dom';
import { drawThumbnail } from '../../ui/picture';
import { problemHelp, problemTitle, mayRetry } from '../../ui/problems';
import { fileSize } from '../../ui/sizes';
import { text } from '../../ui/text';
import { isWeak } from '../../ui/words';
import { byHand, choiceOf } from './choice';
import { isRunning, progressOf, stageWords, timeWords } from '../../ui/stages';

export class Row {
  readonly element: HTMLElement;
  private readonly thumb = el('canvas', { className: 'thumb', width: 112, height: 112, 'aria-hidden': 'true' });
  private drawn = '';
  private readonly status = el('p', { className: 'status' });
  private readonly time = el('p', { className: 'time' });
  private readonly bar: HTMLProgressElement;
  private readonly cancel: HTMLButtonElement;
  private readonly more = el('div', { className: 'more' });
  private readonly name: string;
  private shown = '';

  constructor(
    private photo: PhotoView,
    private readonly decide: (choice: Decision['choice']) => void,
  ) {
    const id = freshId();
    this.name = nameOf(photo);
    this.bar = el('progress', { max: 1, 'aria-label': text('progress_label', this.name) });
    this.cancel = el(
      'button',
      { type: 'button', 'aria-label': text('cancel_label', this.name), onclick: byHand(() => decide('nothing')) },
      text('cancel'),
    );
    const name = el('span', { className: 'name', title: this.name }, this.name);
    const title = el('h3', { id }, name, el('small', {}, fileSize(photo.bytes)));
    this.element = el(
      'li',
      { className: 'row', 'aria-labelledby': id },
      this.thumb,
      el('div', { className: 'about' }, title, this.status, this.time),
      this.cancel,
      this.bar,
      this.more,
    );
  }

  /** `alone`: the only photo, whose cancel button the footer has. `together`: its choices are offered with others'. */
  update(photo: PhotoView, { alone, together }: { alone: boolean; together: boolean }): void {
    this.photo = photo;
    this.picture(photo.thumbnail);
    const running = isRunning(photo);
    this.element.dataset['at'] = photo.stage.at === 'done' && isWeak(photo.stage.receipt) ? 'weak' : photo.stage.at;
    this.cancel.hidden = !running || alone;
    const progress = progressOf(photo);
    this.bar.hidden = progress === null;
    if (typeof progress === 'number') this.bar.value = progress;
    else this.bar.removeAttribute('value');
    this.explain(together);
    this.tick();
  }

  /** It may come after the photo. */
  private picture(thumbnail: string): void {
    if (thumbnail === this.drawn) return;
    this.drawn = thumbnail;
    void drawThumbnail(this.thumb, thumbnail);
  }

  tick(): void {
    const { stage } = this.photo;
    this.status.textContent = stage.at === 'failed' ? problemTitle(stage.problem) : stageWords(this.photo);
    this.time.textContent = timeWords(this.photo, Date.now());
  }

  /** Draws the problem once: what the person is about to click must not be drawn anew under the hand. */
  private explain(together: boolean): void {
    const { stage } = this.photo;
    const state = stage.at === 'failed' && !together ? JSON.stringify(stage.problem) : '';
    if (state === this.shown) return;
    this.shown = state;
    if (stage.at !== 'failed' || together) {
      this.more.replaceChildren();
      return;
    }
    const { problem } = stage;
    const choice = { photos: 1, retry: mayRetry(problem), name: this.name, choose: this.decide };
    const help = problemHelp(problem).map((words) => el('p', { className: 'quiet' }, words));
    this.more.replaceChildren(...help, choiceOf(choice));
  }
}

export function nameOf(photo: PhotoView): string {
  return photo.name === '' ? text('unnamed') : photo.name;
}
