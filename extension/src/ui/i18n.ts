/** Messages of public/_locales. Keys are type-checked; a test finds unused ones. */
import { browser } from 'wxt/browser';
import type messages from '../../public/_locales/en/messages.json';
import { FALLBACK_MESSAGES } from './fallback-messages';

export type MessageKey = keyof typeof messages;

/** Message of a key, with $1, $2, ... filled in. */
export function text(key: MessageKey, ...values: (string | number)[]): string {
  try {
    // WXT types each key by itself, which does not fit a variable key.
    const say = browser.i18n.getMessage as (name: string, values: string[]) => string;
    return say(key, values.map(String));
  } catch {
    const words = FALLBACK_MESSAGES[key]?.message ?? '';
    return words.replace(/\$(\d)/g, (_, number: string) => String(values[Number(number) - 1] ?? ''));
  }
}

/** Singular or plural message. The number is $1. */
export function plural(many: number, one: MessageKey, other: MessageKey, ...values: (string | number)[]): string {
  return text(pluralRules().select(many) === 'one' ? one : other, many, ...values);
}

export function formatNumber(value: number, decimals: number): string {
  return value.toLocaleString(language(), { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

export function formatPercent(share: number): string {
  return text('percent', formatNumber(share * 100, 0));
}

/** Language of the messages, which may differ from that of the browser. */
export function language(): string {
  return text('language') || 'en';
}

function pluralRules(): Intl.PluralRules {
  return new Intl.PluralRules(language());
}
