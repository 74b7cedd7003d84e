/** Notice for Firefox, which can install the extension without access to sites. Nothing is protected then. */
import { browser } from 'wxt/browser';
import { el } from './dom';
import { text } from './i18n';

const ALL = { origins: ['<all_urls>'] };

/** A notice with a button, or null if access is granted. */
export async function accessNotice(): Promise<HTMLElement | null> {
  if (await browser.permissions.contains(ALL)) return null;
  const allow = async (): Promise<void> => {
    // Browsers allow the request only within the click: nothing may be awaited before it.
    if (await browser.permissions.request(ALL)) notice.remove();
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
