import { beforeEach, describe, expect, test } from 'vitest';
import { fakeBrowser } from 'wxt/testing';
import { changesFrom, DEFAULTS, KEY, readSettings, settingsFrom } from './settings';

beforeEach(() => fakeBrowser.reset());

describe('settings are read with care', () => {
  test.each([[undefined], [null], ['text'], [[]], [{}]])('%o gives the defaults', (stored) => {
    expect(settingsFrom(stored)).toEqual(DEFAULTS);
  });
  test('good values are kept beside bad ones, and unknown ones are dropped', () => {
    const stored = { enabled: false, deadline: -1, recipe: '../x', off: ['a.example', 3], others: 'refuse', extra: 1 };
    expect(settingsFrom(stored)).toEqual({ ...DEFAULTS, enabled: false, others: 'refuse' });
  });
  test('from the browser, where an older version wrote something else', async () => {
    await fakeBrowser.storage.local.set({ [KEY]: { enabled: 'yes', fallback: null } });
    expect(await readSettings()).toEqual({ ...DEFAULTS, fallback: null });
  });
});

describe('a change names what it refuses', () => {
  test.each([
    [{ deadline: 0 }, ['deadline']],
    [{ deadline: Number.NaN }, ['deadline']],
    [{ recipe: '' }, ['recipe']],
    [{ presets: { 'a b': 'x' } }, ['presets']],
    [{ presets: { 'a.example': 'No Such Name' } }, ['presets']],
    [{ off: 'a.example' }, ['off']],
    [{ surprise: 1 }, ['surprise']],
  ])('%o', (given, bad) => {
    expect(changesFrom(given).bad).toEqual(bad);
  });
  test('and keeps what is good, in one spelling', () => {
    expect(changesFrom({ off: ['https://Example.org/a', 'example.org'], deadline: 20 })).toEqual({
      changes: { off: ['example.org'], deadline: 20 },
      bad: [],
    });
  });
});
