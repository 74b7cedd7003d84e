import { beforeEach, describe, expect, test } from 'vitest';
import { fakeBrowser } from 'wxt/testing';
import { DEFAULT_SETTINGS, SETTINGS_KEY, parseChanges, parseSettings, readSettings } from './settings';

beforeEach(() => fakeBrowser.reset());

describe('stored settings are read tolerantly', () => {
  test.each([[undefined], [null], ['text'], [[]], [{}]])('%o gives the defaults', (stored) => {
    expect(parseSettings(stored)).toEqual(DEFAULT_SETTINGS);
  });
  test('valid values are kept beside invalid ones, and unknown ones are dropped', () => {
    const stored = { enabled: false, deadline: -1, recipe: '../x', off: ['a.example', 3], others: 'refuse', extra: 1 };
    expect(parseSettings(stored)).toEqual({ ...DEFAULT_SETTINGS, enabled: false, others: 'refuse' });
  });
  test('values of an older version are replaced by defaults', async () => {
    await fakeBrowser.storage.local.set({ [SETTINGS_KEY]: { enabled: 'yes', fallback: null } });
    expect(await readSettings()).toEqual({ ...DEFAULT_SETTINGS, fallback: null });
  });
});

describe('invalid changes are named', () => {
  test.each([
    [{ deadline: 0 }, ['deadline']],
    [{ deadline: Number.NaN }, ['deadline']],
    [{ recipe: '' }, ['recipe']],
    [{ presets: { 'a b': 'x' } }, ['presets']],
    [{ presets: { 'a.example': 'No Such Name' } }, ['presets']],
    [{ off: 'a.example' }, ['off']],
    [{ surprise: 1 }, ['surprise']],
  ])('%o', (given, bad) => {
    expect(parseChanges(given).bad).toEqual(bad);
  });
  test('valid changes are normalised', () => {
    expect(parseChanges({ off: ['https://Example.org/a', 'example.org'], deadline: 20 })).toEqual({
      changes: { off: ['example.org'], deadline: 20 },
      bad: [],
    });
  });
});
