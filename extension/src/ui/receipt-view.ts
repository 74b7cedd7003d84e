/** Receipt as elements: the headline, its meaning, the facts, and tables of all numbers. */
import { asSentence } from '../as-sentence';
import type { Measure, Receipt, VersusRandom } from '../receipt';
import { el } from './dom';
import { duration } from './format';
import { formatNumber, text } from './i18n';
import { MEASURES } from './receipt-tables';
import { beatsControl, changeName, facts, headline, isWeak, share, shiftAfter, warnings } from './receipt-text';

export function receiptView(receipt: Receipt, name: string): HTMLElement {
  const weak = isWeak(receipt);
  return el(
    'section',
    { className: weak ? 'receipt weak' : 'receipt', 'aria-label': text('receipt_label', name) },
    el(
      'div',
      {},
      el('p', { className: 'verdict' }, asSentence(headline(receipt))),
      el('p', { className: 'secondary' }, text('headline_meaning')),
    ),
    warnings(receipt).map((words) => el('p', { className: 'notice' }, words)),
    el('div', { className: 'facts' }, facts(receipt).map(factElement)),
    receipt.notes.length > 0 && factElement({ title: text('notes'), sentences: receipt.notes.map(asSentence) }),
    el('p', { className: 'secondary' }, text('measured_on')),
    el('details', {}, el('summary', {}, text('all_numbers')), el('div', {}, tables(receipt))),
  );
}

function factElement({ title, sentences }: { title: string; sentences: string[] }): HTMLElement {
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

function versus(field: Measure, pair: VersusRandom | null, decimals: number): Cell {
  if (pair === null) return text('not_measured');
  const of = (value: number | null): string => (value === null ? text('infinite') : formatNumber(value, decimals));
  const key = beatsControl(field, pair) ? 'versus_random' : 'versus_random_weak';
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
  return [table(text('table_effects'), heads, rows), el('ul', { className: 'plain secondary' }, meanings)];
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
    ['PSNR', seen.psnr === null ? text('infinite') : `${formatNumber(seen.psnr, 2)} dB`],
    [text('run_relief'), seen.relief === null ? text('relief_none') : formatNumber(seen.relief, 2)],
    ['SSIM', formatNumber(seen.ssim, 4)],
    ['dE2000', text('run_colour', formatNumber(seen.de2000Mean, 2), formatNumber(seen.de2000P95, 2))],
    [text('run_time'), duration(seconds)],
  ];
  return table(text('table_run'), [text('what'), text('value')], rows);
}
