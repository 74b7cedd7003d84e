import { describe, expect, test } from 'vitest';
import { BUILT_IN_SITES, isListed, parseHost, presetFor, siteOf } from './sites';

describe('a site is named by the table if it is listed, else by its host', () => {
  test.each([
    ['https://www.instagram.com/p/1', 'instagram.com'],
    ['https://m.facebook.com/', 'facebook.com'],
    ['https://web.whatsapp.com/', 'whatsapp.com'],
    ['https://X.com./home', 'x.com'],
    ['https://notx.com/', 'notx.com'],
    ['https://facebook.com.evil.example/', 'facebook.com.evil.example'],
    ['https://www.example.org:8443/a', 'example.org'],
    ['http://[::1]:8000/', '[::1]'],
    ['file:///home/a/photo.jpg', 'file:'],
    ['about:blank', 'about:'],
    ['', ''],
    ['no url', ''],
  ])('%s is %s', (url, site) => {
    expect(siteOf(url)).toBe(site);
  });
  test('a host that the user added names its subdomains', () => {
    expect(siteOf('https://media.example.social/', { 'example.social': 'mastodon' })).toBe('example.social');
  });
});

describe('the preset follows from the site', () => {
  test.each([
    ['instagram.com', {}, 'instagram'],
    ['twitter.com', {}, 'x'],
    ['linkedin.com', {}, 'any'],
    ['example.org', {}, 'any'],
    ['example.social', { 'example.social': 'mastodon' }, 'mastodon'],
    ['instagram.com', { 'instagram.com': 'x' }, 'x'],
    ['instagram.com', { 'instagram.com': null }, 'any'],
    ['business.facebook.com', { 'business.facebook.com': 'any' }, 'any'],
    ['constructor', {}, 'any'],
  ])('%s with %o is %s', (site, changed, preset) => {
    expect(presetFor(site, changed as Record<string, string | null>, 'any')).toBe(preset);
  });
  test('without a fallback, only listed sites have a preset', () => {
    expect(presetFor('example.org', {}, null)).toBeNull();
    expect(presetFor('x.com', {}, null)).toBe('x');
  });
});

test('a listed site includes its subdomains, but not hosts that only end alike', () => {
  expect(isListed('m.example.org', ['example.org'])).toBe(true);
  expect(isListed('badexample.org', ['example.org'])).toBe(false);
  expect(isListed('org', ['example.org'])).toBe(false);
});

test.each([
  ['Example.ORG', 'example.org'],
  [' https://example.org/path?q ', 'example.org'],
  ['example.org:8080', 'example.org'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['file:', 'file:'],
  ['', undefined],
  ['a b', undefined],
])('%o is parsed as the host %o', (typed, host) => {
  expect(parseHost(typed)).toBe(host);
});

test('every host of the table is normalised', () => {
  for (const host of Object.keys(BUILT_IN_SITES)) expect(parseHost(host)).toBe(host);
});
