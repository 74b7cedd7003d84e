/** Options page. Every change is saved immediately. */
import { sendRequest } from '../../send-request';
import type { Choices } from '../../messages';
import type { OtherImagePolicy, Settings } from '../../settings';
import { MAX_DEADLINE } from '../../settings';
import { el, uniqueId } from '../../ui/dom';
import { brand, card, setUpPage, problemNotice, toggleSwitch } from '../../ui/page-layout';
import { serverCard } from '../../ui/server-card';
import { duration } from '../../ui/format';
import { text } from '../../ui/i18n';
import { siteList } from './site-list';
import { Autosave } from './autosave';
import { sitesTable } from './sites-table';
import './options.css';

void draw(setUpPage('options_title'));

async function draw(main: HTMLElement): Promise<void> {
  main.append(brand(), el('h1', {}, text('options_title')));
  const reply = await sendRequest('settings', {});
  if (!reply.ok) {
    main.append(problemNotice(reply.problem));
    return;
  }
  let settings = reply.value;
  const body = el('div', { className: 'stack' });
  const redraw = (choices: Choices | null): void => {
    body.replaceChildren(...sections(settings, choices, (saved) => (settings = saved)));
  };
  redraw(null);
  const server = await serverCard(async ({ paired }) => {
    const choices = paired ? await sendRequest('choices', {}) : null;
    redraw(choices?.ok === true ? choices.value : null);
  });
  main.append(card(text('options_server'), server), body);
}

function sections(settings: Settings, choices: Choices | null, saved: (settings: Settings) => void): HTMLElement[] {
  return [
    recipes(settings, choices, new Autosave(saved)),
    others(settings, new Autosave(saved)),
    sitesTable(settings, choices?.presets ?? [], new Autosave(saved)),
    siteList(
      { title: 'options_off', why: 'options_off_why', none: 'options_off_none' },
      settings,
      'off',
      new Autosave(saved),
    ),
    siteList(
      { title: 'options_untrusted', why: 'options_untrusted_why', none: 'options_untrusted_none' },
      settings,
      'untrusted',
      new Autosave(saved),
    ),
  ];
}

function recipes(settings: Settings, choices: Choices | null, saver: Autosave): HTMLElement {
  const picks = (choices?.recipes ?? [{ name: settings.recipe, summary: text('options_recipe_unknown') }]).map(
    ({ name, summary }) => pick('recipe', name, settings.recipe, summary, (recipe) => saver.save({ recipe })),
  );
  const [id, hint] = [uniqueId(), uniqueId()];
  const usual = choices?.recipes.find(({ name }) => name === settings.recipe)?.deadline ?? null;
  const deadline = el('input', {
    id,
    type: 'number',
    min: '1',
    max: String(MAX_DEADLINE),
    step: '1',
    inputMode: 'numeric',
    value: settings.deadline === null ? '' : String(settings.deadline),
    placeholder: usual === null ? '' : String(usual),
    'aria-describedby': hint,
  });
  deadline.addEventListener('change', () => {
    if (deadline.validity.valid) saver.save({ deadline: deadline.value === '' ? null : Number(deadline.value) });
    else saver.fail(text('options_deadline_bad', MAX_DEADLINE));
  });
  return saver.section(
    text('options_recipe'),
    el(
      'fieldset',
      { className: 'choices' },
      el('legend', { className: 'visually-hidden' }, text('options_recipe')),
      picks,
    ),
    el(
      'div',
      { className: 'field narrow' },
      el('label', { htmlFor: id }, text('options_deadline')),
      deadline,
      el(
        'p',
        { className: 'secondary', id: hint },
        usual === null ? text('options_deadline_own') : text('options_deadline_usual', duration(usual)),
      ),
    ),
  );
}

function others(settings: Settings, saver: Autosave): HTMLElement {
  const words: Record<OtherImagePolicy, string> = {
    tell: text('others_tell'),
    pass: text('others_pass'),
    refuse: text('others_refuse'),
  };
  const hints: Record<OtherImagePolicy, string> = {
    tell: text('others_tell_hint'),
    pass: text('others_pass_hint'),
    refuse: text('others_refuse_hint'),
  };
  const picks = (['tell', 'pass', 'refuse'] as const).map((value) =>
    pick('others', value, settings.others, hints[value], (chosen) => saver.save({ others: chosen }), words[value]),
  );
  return saver.section(
    text('options_others'),
    toggleSwitch(text('options_enabled'), settings.enabled, (enabled) => saver.save({ enabled })),
    el('p', { className: 'secondary' }, text('options_others_why')),
    el(
      'fieldset',
      { className: 'choices' },
      el('legend', { className: 'visually-hidden' }, text('options_others')),
      picks,
    ),
  );
}

function pick<Value extends string>(
  group: string,
  value: Value,
  chosen: string,
  hint: string,
  save: (value: Value) => void,
  words: string = value,
): HTMLElement {
  const radio = el('input', { type: 'radio', name: group, value, checked: value === chosen });
  radio.addEventListener('change', () => save(value));
  const about = el('span', {}, el('b', {}, words), el('span', { className: 'secondary' }, hint));
  return el('label', { className: 'option' }, radio, about);
}
