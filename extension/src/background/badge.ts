/** Badge of the toolbar button: the number of photos of a tab at the server, or "off". */
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
  // The tab may be gone.
  await Promise.allSettled([
    browser.action.setBadgeText({ tabId, text: badgeText(held, enabled) }),
    browser.action.setBadgeBackgroundColor({ tabId, color: held > 0 ? BUSY : OFF }),
  ]);
}

/** Updates the badge of a tab by its id. */
export async function refreshBadge(tab: number): Promise<void> {
  if (tab < 0) return;
  const found = await browser.tabs.get(tab).catch(() => undefined);
  if (found !== undefined) await updateBadge(tab, found.url ?? '', await readSettings());
}
