/** One held photo in the list. Updates reuse the row so that it keeps the focus. */
import type { Decision, PhotoView } from '../../messages';
import { drawThumbnail } from '../../ui/canvas';
import { el, uniqueId } from '../../ui/dom';
import { displayName, fileSize } from '../../ui/format';
import { text } from '../../ui/i18n';
import { mayRetry, problemHelp, problemTitle } from '../../ui/problem-text';
import { isWeak } from '../../ui/receipt-text';
import { isRunning, progressOf, stageText, timeText } from '../../ui/stage-text';
import { failureActions, ifTrusted } from './failure-actions';

export class PhotoRow {
  readonly element: HTMLElement;
  private readonly thumb = el('canvas', { className: 'thumbnail', width: 112, height: 112, 'aria-hidden': 'true' });
  private drawnThumbnail = '';
  private readonly status = el('p', { className: 'status' });
  private readonly time = el('p', { className: 'time' });
  private readonly bar: HTMLProgressElement;
  private readonly cancel: HTMLButtonElement;
  private readonly problemArea = el('div', { className: 'more' });
  private readonly name: string;
  private shownProblem = '';

  constructor(
    private photo: PhotoView,
    private readonly decide: (choice: Decision['choice']) => void,
  ) {
    const id = uniqueId();
    this.name = displayName(photo.name);
    this.bar = el('progress', { max: 1, 'aria-label': text('progress_label', this.name) });
    this.cancel = el(
      'button',
      { type: 'button', 'aria-label': text('cancel_label', this.name), onclick: ifTrusted(() => decide('nothing')) },
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
      this.problemArea,
    );
  }

  /** `alone`: the only photo; the footer has its cancel button. `together`: its group has the actions. */
  update(photo: PhotoView, { alone, together }: { alone: boolean; together: boolean }): void {
    this.photo = photo;
    this.updateThumbnail(photo.thumbnail);
    const running = isRunning(photo);
    this.element.dataset['at'] = photo.stage.at === 'done' && isWeak(photo.stage.receipt) ? 'weak' : photo.stage.at;
    this.cancel.hidden = !running || alone;
    const progress = progressOf(photo);
    this.bar.hidden = progress === null;
    if (typeof progress === 'number') this.bar.value = progress;
    else this.bar.removeAttribute('value');
    this.updateProblem(together);
    this.tick();
  }

  /** The thumbnail may arrive after the photo. */
  private updateThumbnail(thumbnail: string): void {
    if (thumbnail === this.drawnThumbnail) return;
    this.drawnThumbnail = thumbnail;
    void drawThumbnail(this.thumb, thumbnail);
  }

  tick(): void {
    const { stage } = this.photo;
    this.status.textContent = stage.at === 'failed' ? problemTitle(stage.problem) : stageText(this.photo);
    this.time.textContent = timeText(this.photo, Date.now());
  }

  /** Draws a problem once: a button must not be replaced while the user is about to click it. */
  private updateProblem(together: boolean): void {
    const { stage } = this.photo;
    const state = stage.at === 'failed' && !together ? JSON.stringify(stage.problem) : '';
    if (state === this.shownProblem) return;
    this.shownProblem = state;
    if (stage.at !== 'failed' || together) {
      this.problemArea.replaceChildren();
      return;
    }
    const { problem } = stage;
    const choice = { photos: 1, retry: mayRetry(problem), name: this.name, choose: this.decide };
    const help = problemHelp(problem).map((words) => el('p', { className: 'secondary' }, words));
    this.problemArea.replaceChildren(...help, failureActions(choice));
  }
}
