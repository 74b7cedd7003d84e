/** The first run: the welcome page, and scripts for the tabs that are open already. */
import { browser } from 'wxt/browser';
import { isReachable } from './tabs';

export async function openWelcomePage(): Promise<void> {
  await browser.tabs.create({ url: `${browser.runtime.getURL('/')}welcome.html` });
}

/**
 * Pages that were open before: their own scripts ran first, so this is less than a page opened later gets, and more
 * than nothing. Not after an update: the page engine of the version before is still in the page, and two of them
 * would hold each other's replays for ever.
 */
export async function injectIntoOpenTabs(): Promise<void> {
  const tabs = await browser.tabs.query({ url: ['http://*/*', 'https://*/*'] });
  await Promise.all(tabs.map(async ({ id }) => (id === undefined ? undefined : injectIntoTab(id))));
}

async function injectIntoTab(tabId: number): Promise<void> {
  if (await isReachable(tabId)) return; // it was loaded while we were installed
  const scripts = (browser.runtime.getManifest().content_scripts ?? []) as ContentScript[];
  for (const { js, world } of scripts) {
    const target = { tabId, allFrames: true };
    // Some pages are closed to extensions; the popup says that they are not protected.
    await browser.scripting
      .executeScript({ target, files: js ?? [], world: world ?? 'ISOLATED', injectImmediately: true } as Script)
      .catch(() => undefined);
  }
}

/** What the types of the browser leave out. */
type ContentScript = { js?: string[]; world?: string };
type Script = Parameters<typeof browser.scripting.executeScript>[0];
