/** The receipt as elements: the count, what it means, every number. */
import type { Measure, Pair, Receipt } from '../receipt';
import { el } from './dom';
import { duration } from './sizes';
import { number, sentence, text } from './text';
import { MEASURES, changeName, clearlyMore, facts, headline, isWeak, share, shiftAfter, warnings } from './words';

export function receiptOf(receipt: Receipt, name: string): HTMLElement {
  const weak = isWeak(receipt);
  return el(
    'section',
    { className: weak ? 'receipt weak' : 'receipt', 'aria-label': text('receipt_label', name) },
    el(
      'div',
      {},
      el('p', { className: 'verdict' }, sentence(headline(receipt))),
      el('p', { className: 'quiet' }, text('headline_meaning')),
    ),
    warnings(receipt).map((words) => el('p', { className: 'notice' }, words)),
    el('div', { className: 'facts' }, facts(receipt).map(factOf)),
    receipt.notes.length > 0 && factOf({ title: text('notes'), sentences: receipt.notes.map(sentence) }),
    el('p', { className: 'quiet' }, text('measured_on')),
    el('details', {}, el('summary', {}, text('all_numbers')), el('div', {}, tables(receipt))),
  );
}

function factOf({ title, sentences }: { title: string; sentences: string[] }): HTMLElement {
  const items = sentences.map((words) => el('li', {}, words));
  return el('div', {}, el('h3', {}, title), el('ul', { className: 'plain' }, items));
}

type Cell = string | (string | HTMLElement)[];

function table(caption: string, heads: string[], rows: Cell[][]): HTMLElement {
  const body = rows.map(([head = '', ...cells]) =>
    el('tr', {}, el('th', { scope: 'row' }, ...[head].flat()), ...cells.map((cell) => el('td', {}, ...[cell].flat()))),
  );
  const top = el('tr', {}, ...heads.map((head) => el('th', { scope: 'col' }, head)));
  return el(
    'div',
    { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': caption },
    el('table', {}, el('caption', {}, caption), el('thead', {}, top), el('tbody', {}, body)),
  );
}

function tables(receipt: Receipt): HTMLElement[] {
  return [effects(receipt), survival(receipt), run(receipt)].flat();
}

function versus(field: Measure, pair: Pair | null, decimals: number): Cell {
  if (pair === null) return text('not_measured');
  const of = (value: number | null): string => (value === null ? text('infinite') : number(value, decimals));
  const key = clearlyMore(field, pair) ? 'versus_random' : 'versus_random_weak';
  return [of(pair.protected), el('small', {}, text(key, of(pair.random)))];
}

function effects({ effects: found }: Receipt): HTMLElement[] {
  if (found.length === 0) return [];
  const used = MEASURES.filter(({ field }) => found.some((effect) => effect[field] !== null));
  const rows = found.map((effect): Cell[] => [
    [effect.surrogate, el('small', {}, effect.role)],
    ...used.map(({ field, decimals }) => versus(field, effect[field], decimals)),
  ]);
  const heads = [text('surrogate'), ...used.map(({ title }) => text(title))];
  const meanings = used.map(({ title, meaning }) => el('li', {}, text('meaning', text(title), text(meaning))));
  return [table(text('table_effects'), heads, rows), el('ul', { className: 'plain quiet' }, meanings)];
}

function survival(receipt: Receipt): HTMLElement[] {
  if (receipt.survival.length === 0) return [];
  const rows = receipt.survival.map((row): Cell[] => {
    const then = shiftAfter(receipt, row);
    const left = [share(row.left.protected), el('small', {}, text('versus_random', share(row.left.random)))];
    return [changeName(row.change), left, versus('shift', then, 3)];
  });
  const caption = text('table_survival', receipt.survival[0]?.surrogate ?? '');
  return [table(caption, [text('change'), text('left'), text('shift_then')], rows)];
}

function run(receipt: Receipt): HTMLElement {
  const seen = receipt.imperceptibility;
  const seconds = Object.values(receipt.seconds).reduce((sum, value) => sum + value, 0);
  const rows = [
    [text('run_recipe'), receipt.recipe ?? text('none')],
    [text('run_preset'), receipt.preset ?? text('none')],
    [text('run_budget'), text('run_spent', receipt.budgetSpent, receipt.budgetAsked ?? receipt.budgetSpent)],
    [text('run_steps'), text('run_of', receipt.steps, receipt.stepsAsked)],
    ['PSNR', seen.psnr === null ? text('infinite') : `${number(seen.psnr, 2)} dB`],
    [text('run_relief'), seen.relief === null ? text('relief_none') : number(seen.relief, 2)],
    ['SSIM', number(seen.ssim, 4)],
    ['dE2000', text('run_colour', number(seen.de2000Mean, 2), number(seen.de2000P95, 2))],
    [text('run_time'), duration(seconds)],
  ];
  return table(text('table_run'), [text('what'), text('value')], rows);
}
