/** What the person can set: read with care, because a profile may hold what an older or a broken version wrote. */
import { browser } from 'wxt/browser';
import type { Settings } from './messages';
import { parseHost, ROBUST_PRESET } from './sites';

export const SETTINGS_KEY = 'settings';

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

/** Seconds; the server has its own limit below this. */
export const MAX_DEADLINE = 3600;

/** Names of recipes and presets, as the server words them. */
const NAME = /^[a-z0-9][a-z0-9_-]{0,39}$/;
const MAX_SITES = 1000;

type Parsers = { [Key in keyof Settings]: (value: unknown) => Settings[Key] | undefined };

const flag = (value: unknown): boolean | undefined => (typeof value === 'boolean' ? value : undefined);
const name = (value: unknown): string | undefined =>
  typeof value === 'string' && NAME.test(value) ? value : undefined;
const nameOrNull = (value: unknown): string | null | undefined => (value === null ? null : name(value));

function hosts(value: unknown): string[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_SITES) return undefined;
  const found = value.map((each) => (typeof each === 'string' ? parseHost(each) : undefined));
  return found.every((each) => each !== undefined) ? [...new Set(found)] : undefined;
}

function presets(value: unknown): Record<string, string | null> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const pairs = Object.entries(value).map(([host, preset]) => [parseHost(host), nameOrNull(preset)] as const);
  if (pairs.length > MAX_SITES || pairs.some(([host, preset]) => host === undefined || preset === undefined)) {
    return undefined;
  }
  return Object.fromEntries(pairs) as Record<string, string | null>;
}

const PARSERS: Parsers = {
  enabled: flag,
  off: hosts,
  untrusted: hosts,
  recipe: name,
  deadline: (value) =>
    value === null || (typeof value === 'number' && value > 0 && value <= MAX_DEADLINE) ? value : undefined,
  others: (value) => (value === 'pass' || value === 'tell' || value === 'refuse' ? value : undefined),
  presets,
  fallback: nameOrNull,
};

const keys = Object.keys(DEFAULT_SETTINGS) as (keyof Settings)[];

/** Whatever was stored, as settings: what is missing, unknown or bad is replaced by the default. */
export function parseSettings(stored: unknown): Settings {
  return { ...DEFAULT_SETTINGS, ...parseChanges(stored).changes };
}

/** What is named and good, and the names of what is not. */
export function parseChanges(given: unknown): { changes: Partial<Settings>; bad: string[] } {
  const asked = typeof given === 'object' && given !== null ? (given as Record<string, unknown>) : {};
  const named = keys.filter((key) => Object.hasOwn(asked, key));
  const parsed = named.map((key) => [key, PARSERS[key](asked[key])] as const);
  return {
    changes: Object.fromEntries(parsed.filter(([, value]) => value !== undefined)),
    bad: [
      ...parsed.filter(([, value]) => value === undefined).map(([key]) => key),
      ...Object.keys(asked).filter((key) => !Object.hasOwn(DEFAULT_SETTINGS, key)),
    ],
  };
}

export async function readSettings(): Promise<Settings> {
  return parseSettings((await browser.storage.local.get(SETTINGS_KEY))[SETTINGS_KEY]);
}
