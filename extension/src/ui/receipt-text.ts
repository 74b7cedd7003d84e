/** Text for a receipt. */
import type { Effect, Measure, Receipt, Survival, VersusRandom } from '../receipt';
import { formatNumber, formatPercent, type MessageKey, plural, text } from './i18n';
import { presetName } from './preset-names';
import { CHANGES, DELTA_E, MARGINS, MEASURES, RELIEF, SAME_PERSON } from './receipt-tables';

interface Fact {
  title: string;
  sentences: string[];
}

/** Whether the protection clearly beats the random perturbation: the server's verdict, or by our margin without one. */
export function beatsControl(field: Measure, pair: VersusRandom): boolean {
  if (pair.clearlyMore !== undefined) return pair.clearlyMore;
  const margin = MARGINS[field];
  const difference = (pair.protected ?? Infinity) - (pair.random ?? Infinity);
  return margin > 0 ? difference > margin : difference < margin;
}

/** Whether at most half of the checks beat the random perturbation: the photo must not be called protected. */
export function isWeak(receipt: Receipt): boolean {
  return receipt.beatsRandom * 2 <= receipt.checks;
}

/** "12 of the 14 checks beat a random change of the same size". */
export function headline({ beatsRandom, checks }: Receipt): string {
  if (checks === 0) return text('headline_none');
  if (checks === 1) return text(beatsRandom === 1 ? 'headline_won' : 'headline_lost');
  return text('headline', beatsRandom, checks);
}

/** "12 of 14 checks". */
export function shortHeadline({ beatsRandom, checks }: Receipt): string {
  return checks === 0 ? text('checks_none') : plural(checks, 'checks_one', 'checks_other', beatsRandom);
}

/** Warnings to show first. */
export function warnings(receipt: Receipt): string[] {
  const faces = receipt.effects.flatMap((effect) => effect.decodedIdentity?.protected ?? []);
  const same = faces.length > 0 && Math.min(...faces) >= SAME_PERSON;
  return [
    receipt.checks > 0 && isWeak(receipt) ? text('warning_weak') : '',
    isEstimate(receipt) ? text('warning_estimate') : '',
    same ? text('warning_same_person', formatNumber(Math.min(...faces), 2)) : '',
  ].filter((words) => words !== '');
}

export function facts(receipt: Receipt): Fact[] {
  const after = receipt.preset === null ? text('facts_after_any') : text('facts_after', presetName(receipt.preset));
  return [
    { title: text('facts_eye'), sentences: visibilityText(receipt) },
    { title: text('facts_encoders'), sentences: receipt.effects.map(encoderText) },
    { title: after, sentences: survivalText(receipt) },
    { title: text('facts_file'), sentences: fileText(receipt) },
  ].filter(({ sentences }) => sentences.length > 0);
}

function isEstimate({ effects }: Receipt): boolean {
  return effects.length > 0 && effects.every((effect) => effect.role === 'gauge');
}

function visibilityText({ imperceptibility: seen, budgetSpent }: Receipt): string[] {
  const { psnr, relief, de2000Mean: colour } = seen;
  if (psnr === null) return [text('eye_equal')];
  const byRelief = relief === null ? 'relief_none' : (RELIEF.find(([end]) => relief <= end)?.[1] ?? 'relief_5');
  const byColour = DELTA_E.find(([end]) => colour <= end)?.[1] ?? 'colour_4';
  return [
    text('eye_relief', text(byRelief)),
    text('eye_colour', text(byColour), formatNumber(colour, 1)),
    text('eye_levels', budgetSpent, formatNumber(seen.meanLevels, 1), formatNumber(psnr, 1)),
  ];
}

function encoderText(effect: Effect): string {
  const made = MEASURES.flatMap(({ field }) => (effect[field] === null ? [] : [beatsControl(field, effect[field])]));
  const won = made.filter((more) => more).length;
  const [moved, random] = [share(effect.shift.protected), share(effect.shift.random)];
  if (made.length === 1) return text(won === 1 ? 'encoder_more' : 'encoder_not', effect.surrogate, moved, random);
  return text('encoder_some', effect.surrogate, moved, random, won, made.length);
}

/** null: infinite. */
export function share(value: number | null): string {
  return value === null ? text('share_all') : formatPercent(value);
}

/** Latent shift that remains after a change. */
export function shiftAfter(receipt: Receipt, row: Survival): VersusRandom | null {
  const before = receipt.effects.find((effect) => effect.surrogate === row.surrogate)?.shift;
  if (before === undefined) return null;
  return {
    ...row.left,
    protected: product(before.protected, row.left.protected),
    random: product(before.random, row.left.random),
  };
}

function product(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a * b;
}

export function changeName(change: string): string {
  const key: MessageKey | undefined = (CHANGES as Record<string, MessageKey>)[change];
  return key === undefined ? presetName(change) : text(key);
}

function survivalText(receipt: Receipt): string[] {
  const rows = receipt.survival.flatMap((row) => {
    const then = shiftAfter(receipt, row);
    return then === null ? [] : [{ ...row, then }];
  });
  if (rows.length === 0) return [];
  const ahead = rows.filter(({ then }) => beatsControl('shift', then)).length;
  const said = [plural(rows.length, 'survival_one', 'survival_other', ahead), text('survival_models')];
  const here = rows.find(({ change }) => change === (receipt.preset ?? 'any'));
  if (here === undefined) return said;
  const key = beatsControl('shift', here.then) ? 'survival_here' : 'survival_here_weak';
  const { protected: left, random } = here.then;
  return [text(key, changeName(here.change), share(left), here.surrogate, share(random)), ...said];
}

function fileText({ encoding, steps, stepsAsked, stopped }: Receipt): string[] {
  const said: string[] = [];
  if (encoding !== null && encoding.lossless) said.push(text('file_lossless', encoding.format));
  else if (encoding !== null) said.push(text('file_lossy', encoding.format, formatPercent(encoding.perturbationKept)));
  if (stepsAsked > 0) said.push(text(stopped === 'deadline' ? 'file_deadline' : 'file_steps', steps, stepsAsked));
  return said;
}
