/** Dialog while photos are held: all photos of all holds, their progress, and the user's choices. */
import type { Decision, HoldView, PhotoView, Problem } from '../../messages';
import { ICONS, el, icon, uniqueId } from '../../ui/dom';
import { displayName } from '../../ui/format';
import { plural, text } from '../../ui/i18n';
import { mayRetry, problemHelp, problemTitle } from '../../ui/problem-text';
import { isRunning, stageText } from '../../ui/stage-text';
import { failureActions, ifTrusted } from './failure-actions';
import type { OverlayHost } from './overlay-host';
import { PhotoRow } from './photo-row';

export interface ShownHold {
  view: HoldView;
  frame: number;
}
type Decide = (decision: Decision, frame: number) => void;
/** A photo, and the frame that its decisions go to. */
interface Item {
  photo: PhotoView;
  hold: string;
  frame: number;
}

export class HoldDialog {
  private readonly dialog: HTMLDialogElement;
  private readonly title: HTMLElement;
  private readonly mark = el('span', { className: 'mark' });
  private readonly lead = el('p', { className: 'subtitle' });
  private readonly list = el('ul', { className: 'photos' });
  private readonly groups = el('div', { className: 'groups' });
  private readonly footer = el('div', { className: 'footer' });
  private readonly live = el('p', { className: 'visually-hidden', role: 'status' });
  private readonly rows = new Map<string, PhotoRow>();
  private readonly announced = new Map<string, string>();
  private items: Item[] = [];
  private clock = 0;
  private confirmingStop = false;
  private groupsState = '';
  private footerState = '';

  constructor(
    private readonly host: OverlayHost,
    private readonly decide: Decide,
  ) {
    const [titleId, leadId] = [uniqueId(), uniqueId()];
    this.title = el('h2', { id: titleId, tabIndex: -1 });
    this.lead.id = leadId;
    const head = el('div', { className: 'head' }, this.mark, el('div', {}, this.title, this.lead));
    const middle = el('div', { className: 'middle' }, this.list, this.groups);
    this.dialog = el(
      'dialog',
      { className: 'hold-dialog', 'aria-labelledby': titleId, 'aria-describedby': leadId },
      head,
      middle,
      this.footer,
      this.live,
    );
    this.dialog.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault();
      if (event.isTrusted && !event.repeat) this.toggleStopQuestion();
    });
    this.dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      this.toggleStopQuestion();
    });
    // Browsers may force a dialog to close. Photos are still held, so it is opened again.
    this.dialog.addEventListener('close', () => {
      if (!this.dialog.open && this.host.has(this.dialog)) this.host.open(this.dialog, 'modal');
    });
  }

  /** Draws the current holds; closes the dialog if there are none. */
  update(held: ShownHold[]): void {
    this.items = held.flatMap(({ view, frame }) => view.photos.map((photo) => ({ photo, hold: view.hold, frame })));
    if (this.items.length === 0) {
      this.close();
      return;
    }
    this.drawHeader(held);
    this.drawRows();
    this.drawProblemGroups();
    this.drawFooter();
    this.announce();
    this.open();
  }

  private open(): void {
    if (this.host.has(this.dialog)) {
      this.refocus();
      return;
    }
    this.host.open(this.dialog, 'modal');
    this.title.focus(); // not a button: a key that is still pressed must not decide anything
    this.clock = window.setInterval(() => this.tick(), 1000);
  }

  private close(): void {
    if (!this.host.has(this.dialog)) return;
    window.clearInterval(this.clock);
    this.host.close(this.dialog);
    this.rows.clear();
    this.announced.clear();
    this.list.replaceChildren();
    this.confirmingStop = false;
    this.footerState = this.groupsState = '';
  }

  private tick(): void {
    for (const row of this.rows.values()) row.tick();
    this.host.raise(this.dialog);
  }

  private drawHeader(held: ShownHold[]): void {
    const all = this.items.map(({ photo }) => photo);
    const failed = all.filter(({ stage }) => stage.at === 'failed').length;
    const stuck = failed > 0 && !all.some(isRunning);
    const sites = [...new Set(held.map(({ view }) => view.site))].join(', ');
    this.dialog.classList.toggle('all-failed', stuck);
    const title = stuck
      ? plural(failed, 'overlay_failed_one', 'overlay_failed_other')
      : plural(all.length, 'overlay_title_one', 'overlay_title_other');
    setText(this.title, title);
    setText(this.lead, text(stuck ? 'overlay_failed_lead' : 'overlay_lead', sites));
    this.mark.replaceChildren(icon(stuck ? ICONS.warn : ICONS.shield));
  }

  private drawRows(): void {
    const alone = this.items.length === 1;
    const groups = this.failureGroups();
    for (const item of this.items) {
      const key = keyOf(item);
      let row = this.rows.get(key);
      if (row === undefined) {
        row = new PhotoRow(item.photo, (choice) => this.choose([item], choice));
        this.rows.set(key, row);
        this.list.append(row.element);
      }
      const together = groups.some((group) => group.items.length > 1 && group.items.includes(item));
      row.update(item.photo, { alone, together });
    }
    const kept = new Set(this.items.map(keyOf));
    for (const [key, row] of this.rows) {
      if (kept.has(key)) continue;
      row.element.remove();
      this.rows.delete(key);
    }
  }

  /** Failed photos, grouped by problem. */
  private failureGroups(): { problem: Problem; items: Item[] }[] {
    const groups = new Map<string, { problem: Problem; items: Item[] }>();
    for (const item of this.items) {
      if (item.photo.stage.at !== 'failed') continue;
      const { problem } = item.photo.stage;
      const key = `${problem.code} ${problem.detail}`;
      const group = groups.get(key) ?? { problem, items: [] };
      group.items.push(item);
      groups.set(key, group);
    }
    return [...groups.values()];
  }

  private drawProblemGroups(): void {
    const groups = this.failureGroups().filter(({ items }) => items.length > 1);
    const state = JSON.stringify(groups.map(({ problem, items }) => [problem.code, problem.detail, items.map(keyOf)]));
    if (state === this.groupsState) return;
    this.groupsState = state;
    this.groups.replaceChildren(
      ...groups.map(({ problem, items }) => {
        const choice = failureActions({
          photos: items.length,
          retry: mayRetry(problem),
          name: plural(items.length, 'photos_one', 'photos_other'),
          choose: (choice) => this.choose(items, choice),
        });
        const help = problemHelp(problem).map((words) => el('p', { className: 'secondary' }, words));
        const about = plural(items.length, 'group_one', 'group_other', problemTitle(problem));
        return el('div', { className: 'group' }, el('h3', {}, about), help, choice);
      }),
    );
  }

  private drawFooter(): void {
    const running = this.items.filter(({ photo }) => isRunning(photo));
    const failed = this.items.some(({ photo }) => photo.stage.at === 'failed');
    const state = this.confirmingStop
      ? 'asking'
      : running.length > 0
        ? `${this.items.length}`
        : failed
          ? 'failed'
          : 'ending';
    if (state === this.footerState) return;
    this.footerState = state;
    if (this.confirmingStop) this.drawStopQuestion();
    else if (running.length > 0) this.drawCancelButton();
    else this.footer.replaceChildren();
  }

  private drawCancelButton(): void {
    const words = text(this.items.length > 1 ? 'cancel_all' : 'cancel_one');
    const stop = ifTrusted(() => this.choose(this.undecided(), 'nothing'));
    this.footer.replaceChildren(
      el('p', { className: 'secondary' }, text('overlay_patience')),
      el('button', { type: 'button', onclick: stop }, words),
    );
  }

  /** Escape asks for confirmation: it is pressed too easily to discard photos, and users expect it to do something. */
  private drawStopQuestion(): void {
    const stop = ifTrusted(() => this.choose(this.undecided(), 'nothing'));
    const stay = el('button', { type: 'button', onclick: () => this.toggleStopQuestion() }, text('stop_back'));
    this.footer.replaceChildren(
      el('p', { role: 'alert' }, text('stop_question')),
      el('div', { className: 'buttons' }, stay, el('button', { type: 'button', onclick: stop }, text('send_nothing'))),
    );
    stay.focus();
  }

  private toggleStopQuestion(): void {
    this.confirmingStop = !this.confirmingStop;
    this.drawFooter();
    if (!this.confirmingStop) this.refocus();
  }

  /** Moves the focus if it was lost: to the first action, which is never the original. */
  private refocus(): void {
    const focused = this.host.focused;
    const lost = focused === null || focused === this.dialog || !focused.checkVisibility();
    const idle = focused === this.title && this.dialog.classList.contains('all-failed');
    if (!lost && !idle) return;
    const retry = this.dialog.querySelector<HTMLElement>('.failure-actions button');
    (retry ?? this.title).focus();
  }

  private undecided(): Item[] {
    return this.items.filter(({ photo }) => isRunning(photo) || photo.stage.at === 'failed');
  }

  private choose(items: Item[], choice: Decision['choice']): void {
    this.confirmingStop = false;
    for (const { hold, photo, frame } of items) this.decide({ hold, photo: photo.id, choice }, frame);
    this.drawFooter();
  }

  /** Announces new stages to screen readers, but not every step. */
  private announce(): void {
    const news: string[] = [];
    for (const item of this.items) {
      const key = keyOf(item);
      const { at } = item.photo.stage;
      if (this.announced.get(key) === at) continue;
      this.announced.set(key, at);
      news.push(text('live', displayName(item.photo.name), stageText(item.photo)));
    }
    if (news.length > 0) this.live.textContent = news.join(' ');
  }
}

function keyOf({ frame, hold, photo }: Item): string {
  return `${frame} ${hold} ${photo.id}`;
}

/** Writes only changed text: screen readers repeat whatever is written. */
function setText(element: HTMLElement, words: string): void {
  if (element.textContent !== words) element.textContent = words;
}
