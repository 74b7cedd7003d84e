/** Layout shared by the extension's pages. */
import './page.css';
import type { Problem } from '../messages';
import { el } from './dom';
import { problemHelp, problemTitle } from './problem-text';
import { type MessageKey, language, text } from './i18n';

/** Sets title and language of the page. Returns its <main>. */
export function setUpPage(title: MessageKey): HTMLElement {
  document.documentElement.lang = language();
  document.title = text('page_title', text(title));
  const main = el('main', {});
  document.body.replaceChildren(main);
  return main;
}

export function brand(): HTMLElement {
  const picture = el('img', { src: '/icon/128.png', alt: '', width: 32, height: 32 });
  return el('header', { className: 'brand' }, picture, el('p', {}, text('name')));
}

export function card(title: string, ...children: Parameters<typeof el>[2][]): HTMLElement {
  const heading = el('h2', {}, title);
  return el('section', { className: 'card' }, heading, ...children);
}

export function problemNotice(problem: Problem): HTMLElement {
  const words = el('b', {}, problemTitle(problem));
  return el('div', { className: 'notice bad', role: 'alert' }, words, ' ', problemHelp(problem).join(' '));
}

/** A checkbox that looks and is announced as a switch. */
export function toggleSwitch(words: string, on: boolean, turned: (on: boolean) => void): HTMLLabelElement {
  const box = el('input', { type: 'checkbox', role: 'switch', checked: on });
  box.addEventListener('change', () => turned(box.checked));
  return el('label', { className: 'switch' }, el('span', {}, words), box);
}
