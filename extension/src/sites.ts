/**
 * Sites and their presets. A preset models how a site recompresses photos.
 *
 * Presets are defined by the server (GET /v1/presets); this table names one for each site. LinkedIn has no preset of
 * its own; it is listed with the robust default so that the user sees and can change it.
 */

/** The server's robust default. */
export const ROBUST_PRESET = 'any';

export const BUILT_IN_SITES: Readonly<Record<string, string>> = {
  'instagram.com': 'instagram',
  'facebook.com': 'facebook',
  'x.com': 'x',
  'twitter.com': 'x',
  'whatsapp.com': 'whatsapp',
  'bsky.app': 'bluesky',
  'linkedin.com': ROBUST_PRESET,
  // The largest Mastodon servers. Users add others.
  'mastodon.social': 'mastodon',
  'mastodon.online': 'mastodon',
  'mastodon.world': 'mastodon',
  'mas.to': 'mastodon',
  'mstdn.social': 'mastodon',
  'mstdn.jp': 'mastodon',
  'fosstodon.org': 'mastodon',
  'hachyderm.io': 'mastodon',
  'infosec.exchange': 'mastodon',
  'chaos.social': 'mastodon',
  'techhub.social': 'mastodon',
  'troet.cafe': 'mastodon',
};

type Presets = Readonly<Record<string, string | null>>;

/** The built-in table with the user's changes. */
export function sitePresets(changed: Presets): Record<string, string | null> {
  return { ...BUILT_IN_SITES, ...changed };
}

/**
 * Name of a site: the table's host that it equals or lies under, else its own host without "www.". Pages without a host
 * are named by their scheme ("file:").
 */
export function siteOf(url: string, changed: Presets = {}): string {
  const parsed = parseUrl(url);
  if (parsed === null) return '';
  const host = hostOf(parsed.hostname);
  if (host === '') return parsed.protocol;
  return closestHost(host, Object.keys(sitePresets(changed))) ?? host.replace(/^www\./, '');
}

/** Preset of a site; null: none. `fallback`: preset of sites that are not in the table. */
export function presetFor(site: string, changed: Presets, fallback: string | null): string | null {
  const sites = sitePresets(changed);
  const found = closestHost(site, Object.keys(sites));
  return (found === undefined ? null : sites[found]) ?? fallback;
}

/** Whether a site equals or lies under one of the hosts. */
export function isListed(site: string, hosts: readonly string[]): boolean {
  return closestHost(site, hosts) !== undefined;
}

/** Parses user input as a host: "https://M.Example.org/x" -> "m.example.org". Returns undefined where it is not one. */
export function parseHost(typed: string): string | undefined {
  const text = typed.trim();
  if (text === 'file:') return text;
  const host = hostOf(parseUrl(text.includes('://') ? text : `https://${text}`)?.hostname ?? '');
  return /^[a-z0-9.:[\]-]{1,253}$/.test(host) ? host : undefined; // a browser writes "a b" as "a%20b"
}

/** The longest of the hosts that it equals or lies under. "notx.com" does not lie under "x.com". */
function closestHost(host: string, hosts: readonly string[]): string | undefined {
  return hosts
    .filter((each) => host === each || host.endsWith(`.${each}`))
    .toSorted((one, other) => other.length - one.length)[0];
}

function hostOf(hostname: string): string {
  return hostname.toLowerCase().replace(/\.$/, '');
}

function parseUrl(url: string): URL | null {
  try {
    return new URL(url);
  } catch {
    return null;
  }
}
