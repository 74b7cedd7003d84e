/** Table of sites and their presets. */
import type { Choices } from '../../messages';
import type { Settings } from '../../settings';
import { BUILT_IN_SITES, sitePresets } from '../../sites';
import { el, uniqueId } from '../../ui/dom';
import { text } from '../../ui/i18n';
import { presetName } from '../../ui/preset-names';
import type { Autosave } from './autosave';
import { addForm } from './site-list';

type Presets = Settings['presets'];

/** `known`: the server's presets; empty if it does not answer. */
export function sitesTable(settings: Settings, known: Choices['presets'], saver: Autosave): HTMLElement {
  let changed: Presets = settings.presets;
  const names = [...new Set([...known.map(({ name }) => name), ...Object.values(BUILT_IN_SITES)])];
  const [own, builtIn] = [el('tbody', {}), el('tbody', {})];

  const save = async (presets: Presets): Promise<void> => {
    if (!(await saver.save({ presets }))) return;
    const moved = Object.keys(changed).join() !== Object.keys(presets).join();
    changed = presets;
    if (moved) draw();
  };
  const without = (host: string): Presets =>
    Object.fromEntries(Object.entries(changed).filter(([each]) => each !== host));
  const row = ([host, preset]: [string, string | null]): HTMLElement => {
    const select = presetSelect(names, preset, text('preset_as_others'));
    select.setAttribute('aria-label', text('preset_of', host));
    select.addEventListener('change', () => void save({ ...changed, [host]: select.value || null }));
    const added = !Object.hasOwn(BUILT_IN_SITES, host);
    const words = added ? text('remove') : text('reset');
    const label = added ? text('remove_label', host) : text('reset_label', host);
    const undo = (): void => void save(without(host));
    const button = el('button', { type: 'button', 'aria-label': label, onclick: undo }, words);
    button.hidden = !Object.hasOwn(changed, host);
    return el('tr', {}, el('th', { scope: 'row' }, host), el('td', {}, select), el('td', {}, button));
  };
  const draw = (): void => {
    const isOwn = ([host]: [string, unknown]): boolean => Object.hasOwn(changed, host);
    const all = Object.entries(sitePresets(changed));
    own.replaceChildren(...all.filter(isOwn).map(row));
    builtIn.replaceChildren(...all.filter((entry) => !isOwn(entry)).map(row));
    ownTable.hidden = own.children.length === 0;
  };
  const ownTable = el('table', { className: 'sites' }, headOf(), own);
  draw();

  const wanted = presetSelect(names, 'any', text('preset_as_others'));
  wanted.id = uniqueId();
  const more = el('div', { className: 'field' }, el('label', { htmlFor: wanted.id }, text('preset')), wanted);
  const form = addForm((host) => save({ ...changed, [host]: wanted.value || null }), more);
  const reset = el('button', { type: 'button', onclick: () => void save({}) }, text('sites_reset'));
  const knownTable = el('table', { className: 'sites' }, headOf(), builtIn);
  return saver.section(
    text('options_sites'),
    el('p', { className: 'secondary' }, text('options_sites_why')),
    fallback(settings, names, saver),
    ownTable,
    form,
    el('details', {}, el('summary', {}, text('sites_known')), knownTable),
    el('div', { className: 'buttons' }, reset),
  );
}

function headOf(): HTMLElement {
  const heads = [text('site'), text('preset')].map((head) => el('th', { scope: 'col' }, head));
  return el('thead', {}, el('tr', {}, ...heads, el('td', {})));
}

function fallback(settings: Settings, names: string[], saver: Autosave): HTMLElement {
  const select = presetSelect(names, settings.fallback, text('preset_none'));
  select.id = uniqueId();
  select.addEventListener('change', () => void saver.save({ fallback: select.value || null }));
  return el(
    'div',
    { className: 'field narrow' },
    el('label', { htmlFor: select.id }, text('options_fallback')),
    select,
  );
}

function presetSelect(names: string[], chosen: string | null, none: string): HTMLSelectElement {
  const offered = chosen === null || names.includes(chosen) ? names : [...names, chosen];
  const select = el(
    'select',
    {},
    offered.map((name) => el('option', { value: name }, name === 'any' ? text('preset_robust') : presetName(name))),
    el('option', { value: '' }, none),
  );
  select.value = chosen ?? '';
  return select;
}
