import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import config from '../wxt.config';

interface Manifest {
  permissions: string[];
  host_permissions: string[];
  [key: string]: unknown;
}

const document = readFileSync('PERMISSIONS.md', 'utf8');
const asked = document.slice(document.indexOf('## Asked for'), document.indexOf('## Requests'));
const refused = document.slice(document.indexOf('## Not asked for'));

const manifestOf = (browser: string): Manifest =>
  (config.manifest as (env: { browser: string }) => unknown)({ browser }) as Manifest;

/** Entries of the list under a heading, each with its reason. */
function named(heading: string): string[] {
  const [, list = ''] = asked.split(`${heading}:\n\n`);
  return [...(list.split('\n\n')[0] ?? '').matchAll(/^- `([^`]+)`: .{40,}/gm)].map(([, name]) => name ?? '');
}

test.each(['chrome', 'firefox'])(
  'every permission of the manifest for %s has a reason, and no other permission does',
  (browser) => {
    const manifest = manifestOf(browser);
    expect(named('Permissions').toSorted()).toEqual(manifest.permissions.toSorted());
    expect(named('Host permissions').toSorted()).toEqual(manifest.host_permissions.toSorted());
  },
);

test.each(['chrome', 'firefox'])(
  'the manifest for %s has none of the permissions that are not requested',
  (browser) => {
    const manifest = manifestOf(browser);
    const told = [...refused.matchAll(/`([A-Za-z_]+)`/g)].map(([, name]) => name ?? '');
    expect(told.length).toBeGreaterThan(8);
    for (const name of told) expect(manifest.permissions).not.toContain(name);
    for (const key of ['optional_permissions', 'externally_connectable', 'web_accessible_resources']) {
      expect(manifest).not.toHaveProperty(key);
    }
  },
);

test('extension pages run no remote code and no strings', () => {
  const { extension_pages: policy } = manifestOf('chrome')['content_security_policy'] as { extension_pages: string };
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self';");
  expect(policy).not.toMatch(/unsafe/);
});
