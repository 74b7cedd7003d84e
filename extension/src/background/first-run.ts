/** First run: opens the welcome page and injects the content scripts into open tabs. */
import { browser } from 'wxt/browser';
import { isReachable } from './tabs';

export async function openWelcomePage(): Promise<void> {
  await browser.tabs.create({ url: `${browser.runtime.getURL('/')}welcome.html` });
}

/**
 * Injects the content scripts into pages that were open before. Their own scripts ran first, so they are covered less
 * well than pages opened later. Not used after an update: the old page engine is still there, and two engines would
 * hold each other's replays for ever.
 */
export async function injectIntoOpenTabs(): Promise<void> {
  const tabs = await browser.tabs.query({ url: ['http://*/*', 'https://*/*'] });
  await Promise.all(tabs.map(async ({ id }) => (id === undefined ? undefined : injectIntoTab(id))));
}

async function injectIntoTab(tabId: number): Promise<void> {
  if (await isReachable(tabId)) return; // loaded during the installation
  const scripts = (browser.runtime.getManifest().content_scripts ?? []) as ContentScript[];
  for (const { js, world } of scripts) {
    const target = { tabId, allFrames: true };
    // Some pages allow no extension; the popup says that they are not protected.
    await browser.scripting
      .executeScript({ target, files: js ?? [], world: world ?? 'ISOLATED', injectImmediately: true } as Script)
      .catch(() => undefined);
  }
}

/** Missing from the browser's types. */
type ContentScript = { js?: string[]; world?: string };
type Script = Parameters<typeof browser.scripting.executeScript>[0];
