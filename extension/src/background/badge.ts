/** The badge of the toolbar button: how many photos of a tab are with the server, or that it is off there. */
import { browser } from 'wxt/browser';
import type { Settings } from '../settings';
import { readSettings } from '../settings';
import { isListed, siteOf } from '../sites';
import { countJobs } from './jobs';

const BUSY = '#1d5fd1';
const OFF = '#5f6368';

export function badgeText(held: number, enabled: boolean): string {
  if (held > 0) return held > 99 ? '99+' : String(held);
  return enabled ? '' : 'off';
}

export async function updateBadge(tab: number, url: string, settings: Settings): Promise<void> {
  const held = await countJobs(tab);
  const enabled = settings.enabled && !isListed(siteOf(url, settings.presets), settings.off);
  const tabId = tab;
  // The tab may be gone by now.
  await Promise.allSettled([
    browser.action.setBadgeText({ tabId, text: badgeText(held, enabled) }),
    browser.action.setBadgeBackgroundColor({ tabId, color: held > 0 ? BUSY : OFF }),
  ]);
}

/** For a tab of which only the number is known. */
export async function refreshBadge(tab: number): Promise<void> {
  if (tab < 0) return;
  const found = await browser.tabs.get(tab).catch(() => undefined);
  if (found !== undefined) await updateBadge(tab, found.url ?? '', await readSettings());
}
