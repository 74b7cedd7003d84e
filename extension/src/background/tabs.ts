/** State of each tab, and messages to its bridges. */
import { browser } from 'wxt/browser';
import type { BackgroundToBridge, BridgeState } from '../messages';
import type { Settings } from '../settings';
import { readSettings } from '../settings';
import { isListed, siteOf } from '../sites';
import { updateBadge } from './badge';

export function stateOf(url: string, settings: Settings): BridgeState {
  const site = siteOf(url, settings.presets);
  return {
    enabled: settings.enabled && !isListed(site, settings.off),
    trusted: !isListed(site, settings.untrusted),
    others: settings.others,
    site,
  };
}

/** Site of a tab, "" if it is gone or its address is hidden from us. */
export async function siteOfTab(tab: number): Promise<string> {
  const [settings, url] = await Promise.all([
    readSettings(),
    browser.tabs.get(tab).then(
      (found) => found.url ?? '',
      () => '',
    ),
  ]);
  return siteOf(url, settings.presets);
}

/** Sends the changed settings to every frame of every tab. */
export async function pushSettings(settings: Settings): Promise<void> {
  const tabs = await browser.tabs.query({});
  await Promise.all(
    tabs.map(async ({ id, url }) => {
      if (id === undefined) return;
      await sendToTab(id, { kind: 'state', state: stateOf(url ?? '', settings) });
      await updateBadge(id, url ?? '', settings);
    }),
  );
}

/** Sends a message to the bridges of a tab, or to one frame. Returns the answer, undefined if none listens. */
export async function sendToTab(
  tab: number,
  message: BackgroundToBridge,
  to: { frameId?: number; documentId?: string } = {},
) {
  try {
    return (await browser.tabs.sendMessage(tab, message, to)) as unknown;
  } catch {
    return undefined;
  }
}

/** Whether the top frame of a tab has a bridge. */
export async function isReachable(tab: number): Promise<boolean> {
  return (await sendToTab(tab, { kind: 'ping' }, { frameId: 0 })) === true;
}
