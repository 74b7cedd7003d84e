/**
 * Where a photo goes, and what that site is known to do to it: which preset of the server it gets.
 *
 * Presets are named here and defined by the server (its GET /v1/presets). LinkedIn has none of its own yet: the robust
 * default stands for it by name, so that the person sees and can change it.
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
  // Mastodon is many servers: the largest, and those that the person adds.
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

/** The table as it holds: what the person changed goes before what is built in. */
export function sitePresets(changed: Presets): Record<string, string | null> {
  return { ...BUILT_IN_SITES, ...changed };
}

/**
 * The name of a site: a host of the table that it is or lies under, else its own host without "www.". Pages without a
 * host have their scheme ("file:").
 */
export function siteOf(url: string, changed: Presets = {}): string {
  const parsed = parseUrl(url);
  if (parsed === null) return '';
  const host = hostOf(parsed.hostname);
  if (host === '') return parsed.protocol;
  return closestHost(host, Object.keys(sitePresets(changed))) ?? host.replace(/^www\./, '');
}

/** The server's preset for a site; null: none. `fallback`: of all sites that the table does not name. */
export function presetFor(site: string, changed: Presets, fallback: string | null): string | null {
  const sites = sitePresets(changed);
  const found = closestHost(site, Object.keys(sites));
  return (found === undefined ? null : sites[found]) ?? fallback;
}

/** Whether a site is one of these, or lies under one. */
export function isListed(site: string, hosts: readonly string[]): boolean {
  return closestHost(site, hosts) !== undefined;
}

/** What a person types for a site, as a host: "https://M.Example.org/x" -> "m.example.org". undefined: it is none. */
export function parseHost(typed: string): string | undefined {
  const text = typed.trim();
  if (text === 'file:') return text;
  const host = hostOf(parseUrl(text.includes('://') ? text : `https://${text}`)?.hostname ?? '');
  return /^[a-z0-9.:[\]-]{1,253}$/.test(host) ? host : undefined; // a browser writes "a b" as "a%20b"
}

/** The longest of the hosts that it equals or lies under, label by label: "notx.com" does not lie under "x.com". */
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
