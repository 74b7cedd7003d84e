import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { fakeBrowser } from 'wxt/testing';
import messages from '../../public/_locales/en/messages.json';
import { installMessages } from '../testing/ui';
import { formatPercent, plural, text } from './i18n';

beforeEach(installMessages);

const ROOT = join(import.meta.dirname, '../..');
const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(ts|html)$/.test(name) && !/^testing|\.test\.ts$|fallback-messages\.ts$/.test(name))
  .map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'))
  .concat(readFileSync(join(ROOT, 'wxt.config.ts'), 'utf8'))
  .join('\n');
const keys = Object.keys(messages);

test('every key that is used exists', () => {
  const used = [...sources.matchAll(/\b(?:text|messageOr)\(\s*'(\w+)'|__MSG_(\w+)__/g)].map((hit) => hit[1] ?? hit[2]);
  expect(used.length).toBeGreaterThan(100);
  expect(used.filter((key) => !keys.includes(key ?? ''))).toEqual([]);
});

test('no key is unused', () => {
  expect(keys.filter((key) => !sources.includes(`'${key}'`) && !sources.includes(`__MSG_${key}__`))).toEqual([]);
});

test('no message promises too much', () => {
  const all = JSON.stringify(messages);
  expect(all).not.toMatch(/deepfake-?proof|prevents?|guarantees|unbreakable|100 ?%/i);
});

test('values fill their placeholders', () => {
  expect(text('headline', 12, 14)).toBe('12 of the 14 checks beat a random change of the same size');
  expect(formatPercent(0.815)).toBe('82 %');
});

test('singular and plural differ', () => {
  expect(plural(1, 'photos_one', 'photos_other')).toBe('1 photo');
  expect(plural(0, 'photos_one', 'photos_other')).toBe('0 photos');
});

test('after an update of the extension, the overlay still has its messages', () => {
  fakeBrowser.i18n.getMessage = () => {
    throw new Error('Extension context invalidated.');
  };
  expect(text('overlay_failed_lead', 'x.com')).toContain('x.com has not received anything');
  expect(text('see_how')).toBe('');
});
