/** The user's settings. Reading is tolerant: a profile may hold what an older or a broken version wrote. */
import * as v from 'valibot';
import { browser } from 'wxt/browser';
import { parseHost, ROBUST_PRESET } from './sites';
import { isRecord } from './validators';

export const SETTINGS_KEY = 'settings';

/** Seconds. The server has a lower limit of its own. */
export const MAX_DEADLINE = 3600;

const MAX_SITES = 1000;

/** Name of a recipe or preset, as the server spells it. */
const name = v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9_-]{0,39}$/));

/** A host, normalised: "https://Example.org/a" -> "example.org". */
const host = v.pipe(v.string(), v.transform(parseHost), v.string());

const hosts = v.pipe(
  v.array(host),
  v.maxLength(MAX_SITES),
  v.transform((all) => [...new Set(all)]),
);

const SCHEMAS = {
  enabled: v.boolean(),
  /** Sites (see sites.ts) where protection is off. */
  off: hosts,
  /** Sites where replayed events do not report `isTrusted`. */
  untrusted: hosts,
  recipe: name,
  /** Seconds per photo; null: the recipe's own limit. */
  deadline: v.nullable(v.pipe(v.number(), v.gtValue(0), v.maxValue(MAX_DEADLINE))),
  /** GIF and SVG: sent silently, sent with a notice, or refused. */
  others: v.picklist(['pass', 'tell', 'refuse']),
  /** The user's changes to the table in sites.ts: host -> preset; null: that of all other sites. */
  presets: v.pipe(
    v.custom<Record<string, unknown>>(isRecord),
    v.record(host, v.nullable(name)),
    v.check((all) => Object.keys(all).length <= MAX_SITES),
  ),
  /** Preset of all sites that are not in the table; null: none. */
  fallback: v.nullable(name),
};

export type Settings = { [Key in keyof typeof SCHEMAS]: v.InferOutput<(typeof SCHEMAS)[Key]> };

export type OtherImagePolicy = Settings['others'];

export const DEFAULT_SETTINGS: Settings = {
  enabled: true,
  off: [],
  untrusted: [],
  recipe: 'balanced',
  deadline: null,
  others: 'tell',
  presets: {},
  fallback: ROBUST_PRESET,
};

/** Parses stored settings: missing, unknown and invalid values become the defaults. */
export function parseSettings(stored: unknown): Settings {
  return { ...DEFAULT_SETTINGS, ...parseChanges(stored).changes };
}

/** The valid changes, and the names of the invalid ones. */
export function parseChanges(given: unknown): { changes: Partial<Settings>; bad: string[] } {
  const changes: Record<string, unknown> = {};
  const bad: string[] = [];
  for (const [key, value] of Object.entries(isRecord(given) ? given : {})) {
    const parsed = Object.hasOwn(SCHEMAS, key) ? v.safeParse(SCHEMAS[key as keyof Settings], value) : undefined;
    if (parsed?.success === true) changes[key] = parsed.output;
    else bad.push(key);
  }
  return { changes, bad };
}

export async function readSettings(): Promise<Settings> {
  return parseSettings((await browser.storage.local.get(SETTINGS_KEY))[SETTINGS_KEY]);
}
