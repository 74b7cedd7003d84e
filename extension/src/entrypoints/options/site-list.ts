/** An editable list of sites. */
import type { Settings } from '../../settings';
import { parseHost } from '../../sites';
import { el, uniqueId } from '../../ui/dom';
import { type MessageKey, text } from '../../ui/i18n';
import type { Autosave } from './autosave';

interface SiteListMessages {
  title: MessageKey;
  why: MessageKey;
  none: MessageKey;
}

export function siteList(
  words: SiteListMessages,
  settings: Settings,
  which: 'off' | 'untrusted',
  saver: Autosave,
): HTMLElement {
  let hosts = settings[which];
  const list = el('ul', { className: 'hosts' });
  const draw = (): void => {
    const none = el('p', { className: 'secondary' }, text(words.none));
    list.replaceChildren(...(hosts.length === 0 ? [el('li', {}, none)] : hosts.map(item)));
  };
  const save = async (wanted: string[]): Promise<void> => {
    if (!(await saver.save({ [which]: wanted }))) return;
    hosts = wanted;
    draw();
  };
  const item = (host: string): HTMLElement => {
    const remove = (): void => void save(hosts.filter((each) => each !== host));
    const label = text('remove_label', host);
    const button = el('button', { type: 'button', 'aria-label': label, onclick: remove }, text('remove'));
    return el('li', {}, host, button);
  };
  draw();
  const form = addForm(async (host) => {
    await save([...hosts.filter((each) => each !== host), host]);
  });
  return saver.section(text(words.title), el('p', { className: 'secondary' }, text(words.why)), list, form);
}

/** Form that adds a site. `more`: a further field before the button. */
export function addForm(add: (host: string) => Promise<void>, more?: HTMLElement): HTMLFormElement {
  const [id, problemId] = [uniqueId(), uniqueId()];
  const input = el('input', {
    id,
    required: true,
    placeholder: 'photos.example.org',
    spellcheck: false,
    autocomplete: 'off',
    autocapitalize: 'off',
    'aria-describedby': problemId,
  });
  const problem = el('p', { id: problemId, className: 'notice bad', role: 'alert' });
  const form = el(
    'form',
    { className: more === undefined ? 'add' : 'add three' },
    el('div', { className: 'field' }, el('label', { htmlFor: id }, text('site')), input),
    more ?? null,
    el('button', {}, text('add')),
    problem,
  );
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const host = parseHost(input.value);
    problem.textContent = host === undefined ? text('site_bad') : '';
    if (host === undefined) return;
    input.value = '';
    await add(host);
  });
  return form;
}
