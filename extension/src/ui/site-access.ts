/** Firefox lets a person install without access to sites: without it, nothing is protected. */
import { browser } from 'wxt/browser';
import { el } from './dom';
import { text } from './i18n';

const ALL = { origins: ['<all_urls>'] };

/** A notice with a button, or null where access is given. */
export async function accessNotice(): Promise<HTMLElement | null> {
  if (await browser.permissions.contains(ALL)) return null;
  const allow = async (): Promise<void> => {
    if (await browser.permissions.request(ALL)) notice.remove(); // asked first: only within the click it may
  };
  const button = el('button', { type: 'button', className: 'main', onclick: () => void allow() }, text('access_allow'));
  const notice = el(
    'div',
    { className: 'notice stack', role: 'alert' },
    el('p', {}, text('access_missing')),
    el('div', { className: 'buttons' }, button),
  );
  return notice;
}
