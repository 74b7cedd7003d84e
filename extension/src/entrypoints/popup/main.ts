/** Popup: whether photos of this tab are protected, outcomes of the latest ones, and the state of the server. */
import { browser } from 'wxt/browser';
import { sendRequest } from '../../send-request';
import type { Overview, UploadRecord } from '../../messages';
import type { Settings } from '../../settings';
import { accessNotice } from '../../ui/site-access';
import { ICONS, el, icon } from '../../ui/dom';
import { displayName } from '../../ui/format';
import { setUpPage, problemNotice, toggleSwitch } from '../../ui/page-layout';
import { serverLine } from '../../ui/server-card';
import { plural, text } from '../../ui/i18n';
import './popup.css';

const main = setUpPage('popup_title');
void start();

async function start(): Promise<void> {
  const [tab] = await browser.tabs.query({ active: true, currentWindow: true });
  const [reply, access] = await Promise.all([
    sendRequest('overview', { tab: tab?.id ?? -1, url: tab?.url ?? '' }),
    accessNotice(),
  ]);
  if (!reply.ok) {
    main.replaceChildren(el('div', {}, problemNotice(reply.problem)), links());
    return;
  }
  main.replaceChildren(...sections(reply.value, access));
}

function sections(overview: Overview, access: HTMLElement | null): HTMLElement[] {
  return [
    top(overview),
    ...(access === null ? [] : [el('div', {}, access)]),
    ...(overview.enabled ? [here(overview)] : []),
    server(overview),
    uploads(overview),
    links(),
  ];
}

async function change(changes: Partial<Settings>): Promise<void> {
  const reply = await sendRequest('change', changes);
  if (reply.ok) return start();
  main.append(el('div', {}, problemNotice(reply.problem)));
}

function top({ enabled }: Overview): HTMLElement {
  const picture = el('img', { src: '/icon/128.png', alt: '', width: 28, height: 28 });
  const all = toggleSwitch(text('popup_all'), enabled, (on) => void change({ enabled: on }));
  return el(
    'div',
    { className: 'top' },
    el('div', { className: 'brand' }, picture, all),
    !enabled && el('p', { className: 'notice bad' }, text('popup_all_off')),
  );
}

function here({ site, enabledHere, reachable }: Overview): HTMLElement {
  if (site === '' || !/[.:]|localhost/.test(site))
    return el('div', { className: 'here secondary' }, text('popup_no_site'));
  const toggle = async (on: boolean): Promise<void> => {
    const settings = await sendRequest('settings', {});
    if (!settings.ok) return;
    const others = settings.value.off.filter((host) => host !== site && !site.endsWith(`.${host}`));
    await change({ off: on ? others : [...others, site] });
  };
  const words = enabledHere ? text('popup_here_on') : text('popup_here_off', site);
  return el(
    'div',
    { className: 'here' },
    toggleSwitch(site, enabledHere, (on) => void toggle(on)),
    el('p', { className: enabledHere ? 'secondary' : 'notice bad' }, words),
    enabledHere && !reachable && el('p', { className: 'notice' }, text('popup_unreachable')),
  );
}

function server({ server: state }: Overview): HTMLElement {
  const pair = el('button', { type: 'button', className: 'main', onclick: () => open('welcome') }, text('popup_pair'));
  const unpaired = !state.paired || state.problem?.code === 'unauthorised';
  return el(
    'div',
    { className: 'stack' },
    serverLine(state),
    state.problem?.code === 'unreachable' && el('p', { className: 'secondary' }, text('popup_server_down')),
    unpaired && el('p', { className: 'secondary' }, text('popup_server_unpaired')),
    unpaired && el('div', { className: 'buttons' }, pair),
  );
}

function uploads({ uploads: records, leaks }: Overview): HTMLElement {
  const list = el('ul', { className: 'uploads' }, records.map(upload));
  const alarm = plural(leaks, 'popup_leaks_one', 'popup_leaks_other');
  return el(
    'div',
    { className: 'stack' },
    el('h2', {}, text('popup_uploads')),
    records.length === 0 ? el('p', { className: 'secondary' }, text('popup_uploads_none')) : list,
    leaks > 0 ? el('p', { className: 'notice' }, alarm) : el('p', { className: 'secondary' }, text('popup_leaks_none')),
  );
}

function upload({ name, outcome, checks, when }: UploadRecord): HTMLElement {
  const mark = { protected: ICONS.done, withheld: ICONS.close, original: ICONS.warn }[outcome];
  const became = {
    protected: text('outcome_protected'),
    withheld: text('outcome_withheld'),
    original: text('outcome_original'),
  }[outcome];
  const time = new Date(when).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' });
  return el(
    'li',
    { className: outcome },
    icon(mark),
    el('b', {}, displayName(name)),
    el('p', { className: 'secondary' }, [became, checks, time].filter((words) => words !== '').join(' · ')),
  );
}

function links(): HTMLElement {
  return el(
    'div',
    { className: 'links' },
    el('button', { type: 'button', className: 'link', onclick: () => open('options') }, text('popup_options')),
    el('button', { type: 'button', className: 'link', onclick: () => open('welcome') }, text('popup_welcome')),
  );
}

function open(which: 'options' | 'welcome'): void {
  const opened =
    which === 'options'
      ? browser.runtime.openOptionsPage()
      : browser.tabs.create({ url: browser.runtime.getURL('/welcome.html') });
  void Promise.resolve(opened).then(() => window.close());
}
