/** A photo that an extension page protects: progress, then previews and receipt, or the problem. */
import type { PhotoStage, PhotoView } from '../messages';
import { protect } from '../protect';
import type { Receipt } from '../receipt';
import { comparePhotos } from './compare-slider';
import { el } from './dom';
import { text } from './i18n';
import { problemHelp, problemTitle } from './problem-text';
import { receiptView } from './receipt-view';
import { progressOf, stageText, timeText } from './stage-text';

export class JobCard {
  readonly element = el('div', { className: 'job' });

  constructor(
    private readonly photo: Blob,
    private readonly name: string,
    /** Returns an element to show above the receipt. */
    private readonly finish: (file: Blob) => HTMLElement | null = () => null,
  ) {}

  /** Protects the photo. Returns whether that succeeded. */
  async run(): Promise<boolean> {
    const stopped = new AbortController();
    const abort = (): void => stopped.abort();
    addEventListener('pagehide', abort, { once: true });
    const status = el('p', { className: 'status' });
    const live = el('p', { className: 'visually-hidden', role: 'status' });
    const bar = el('progress', { max: 1, 'aria-label': text('progress_label', this.name) });
    const cancel = el('button', { type: 'button', onclick: () => stopped.abort() }, text('cancel'));
    this.element.replaceChildren(el('div', { className: 'running' }, status, cancel), bar, live);
    let view = initialView();
    const draw = (): void => {
      status.textContent = [stageText(view), timeText(view, Date.now())].join('. ');
      const progress = progressOf(view);
      if (typeof progress === 'number') bar.value = progress;
      else bar.removeAttribute('value');
    };
    const clock = setInterval(draw, 1000);
    const report = {
      stage: (stage: PhotoStage): void => {
        if (stage.at !== view.stage.at) live.textContent = stageText({ ...view, stage });
        view = { ...view, stage };
        draw();
      },
      deadline: (deadline: number | null): void => {
        view = { ...view, deadline };
      },
    };
    const reply = await protect(this.photo, report, stopped.signal);
    clearInterval(clock);
    removeEventListener('pagehide', abort);
    if (stopped.signal.aborted) this.ended(text('cancelled'), []);
    else if (!reply.ok) this.ended(problemTitle(reply.problem), problemHelp(reply.problem));
    else await this.show(reply.value.file, reply.value.receipt);
    return reply.ok && !stopped.signal.aborted;
  }

  private ended(title: string, help: string[]): void {
    const again = el('button', { type: 'button', className: 'main', onclick: () => void this.run() }, text('retry'));
    const words = el('div', { className: 'notice bad', role: 'alert' }, el('b', {}, title), ' ', help.join(' '));
    this.element.replaceChildren(words, el('div', { className: 'buttons' }, again));
  }

  private async show(file: Blob, receipt: Receipt): Promise<void> {
    const compare = await comparePhotos(this.photo, file, this.name).catch(() =>
      el('p', { className: 'notice' }, text('compare_cannot')),
    );
    const extra = this.finish(file);
    this.element.replaceChildren(compare, ...(extra === null ? [] : [extra]), receiptView(receipt, this.name));
  }
}

function initialView(): PhotoView {
  return { id: '', name: '', bytes: 0, thumbnail: '', stage: { at: 'sending' }, since: Date.now(), deadline: null };
}
