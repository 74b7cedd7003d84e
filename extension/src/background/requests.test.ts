import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fakeBrowser } from 'wxt/testing';
import type { Reply, RequestName } from '../messages';
import { DEFAULT_SETTINGS } from '../settings';
import { CODE, events, FakeServer, JPEG, KEY, PROTECTED, RECEIPT, TOKEN } from '../testing/fake-server';
import { cancelAll } from './jobs';
import { answerRequest } from './requests';

const SITE = 'https://www.instagram.com/';
const bridge = { id: 'test-extension-id', url: SITE, frameId: 0, tab: { id: 7, url: SITE } };
const inFrame = { ...bridge, url: 'https://elsewhere.example/', frameId: 3 };
const page = { id: 'test-extension-id', url: 'chrome-extension://test-extension-id/options.html' };

let toy: FakeServer;
let address: string;
/** Messages that were sent to tabs. */
let told: [number, unknown, unknown][];
let listening: boolean;

const send = (name: RequestName, body: unknown, sender: object = bridge): Promise<Reply<never>> =>
  answerRequest({ name, body }, sender as never) as Promise<Reply<never>>;

const photo = (): Blob => new Blob([JPEG]);

async function value(name: RequestName, body: unknown, sender: object = bridge): Promise<never> {
  const reply = await send(name, body, sender);
  if (!reply.ok) throw new Error(`${reply.problem.code}: ${reply.problem.detail}`);
  return reply.value;
}

beforeEach(async () => {
  fakeBrowser.reset();
  vi.spyOn(fakeBrowser.runtime, 'getURL').mockImplementation(
    ((path: string) => `chrome-extension://test-extension-id${path}`) as never,
  );
  told = [];
  listening = true;
  fakeBrowser.tabs.sendMessage = (async (tab: number, message: unknown, to: unknown) => {
    told.push([tab, message, to]);
    if (!listening) throw new Error('Could not establish connection. Receiving end does not exist.');
    return true;
  }) as never;
  toy = new FakeServer();
  address = await toy.start();
});
afterEach(async () => {
  await toy.stop();
  vi.restoreAllMocks();
});

const paired = (): Promise<unknown> => value('pair', { address, code: CODE }, page);

describe('each sender may make only its own requests', () => {
  test.each(['overview', 'settings', 'change', 'pair', 'server', 'choices', 'saveSource'] as const)(
    'a content script may not request %s',
    async (name) => {
      expect(await send(name, {})).toMatchObject({ ok: false, problem: { code: 'internal' } });
      expect(await fakeBrowser.storage.local.get()).toEqual({});
    },
  );
  test.each(['state', 'show', 'decide', 'settled'] as const)('an extension page may not request %s', async (name) => {
    expect(await send(name, {}, page)).toMatchObject({ ok: false });
  });
  test('another extension may request nothing', async () => {
    expect(await send('state', {}, { ...bridge, id: 'another' })).toMatchObject({ ok: false });
  });
  test('a page whose address contains ours is not an extension page', async () => {
    const sender = { ...bridge, url: 'https://a.example/chrome-extension://test-extension-id/' };
    expect(await send('settings', {}, sender)).toMatchObject({ ok: false });
  });
});

describe('every body is checked', () => {
  test.each([
    ['toString', {}],
    ['nothing', {}],
    ['submit', { photo: {}, key: KEY }],
    ['submit', { photo: 'text', key: KEY }],
    ['submit', { photo: photo() }],
    ['submit', { photo: photo(), key: 'short' }],
    ['submit', { photo: photo(), key: 'with a space, and long' }],
    ['submit', null],
    ['follow', { job: '../../ready', after: 0 }],
    ['follow', { job: 'job1', after: -1 }],
    ['cancel', { job: 'a/b' }],
    ['decide', { decision: { hold: 'h', photo: null, choice: 'all' }, frame: 0 }],
    ['settled', { photos: [{ surface: 'input', name: 'a', outcome: 'stolen', checks: '' }] }],
    ['show', { hold: 'h', view: { hold: 'h', surface: 'input', site: '', photos: [{}], holding: true } }],
  ])('%s %o', async (name, body) => {
    await paired();
    const before = toy.seen.length;
    expect(await send(name as RequestName, body)).toMatchObject({ ok: false, problem: { code: 'internal' } });
    expect(toy.seen).toHaveLength(before);
  });
  test('a view may not contain a picture that a browser would fetch', async () => {
    const seen = { id: 'p', name: '', bytes: 1, stage: { at: 'sending' }, since: 0, deadline: null };
    const view = { hold: 'h', surface: 'input', site: 'x.com', holding: true };
    const show = (thumbnail: string) =>
      send('show', { hold: 'h', view: { ...view, photos: [{ ...seen, thumbnail }] } }, inFrame);
    expect((await show('data:image/jpeg;base64,AAAA')).ok).toBe(true);
    expect((await show('https://tracker.example/a.png')).ok).toBe(false);
    expect((await show('data:image/svg+xml;base64,AAAA')).ok).toBe(false);
  });
});

describe('pairing', () => {
  test('stores the token and does not reveal it', async () => {
    const state = await paired();
    expect(state).toEqual({ address, paired: true, problem: null, provider: 'CPUExecutionProvider' });
    expect(JSON.stringify(await value('settings', {}, page))).not.toContain(TOKEN);
    expect(await fakeBrowser.storage.local.get('pairing')).toEqual({ pairing: { address, token: TOKEN } });
  });
  test('a wrong code changes nothing', async () => {
    await paired();
    expect(await send('pair', { address, code: 'WRONG' }, page)).toMatchObject({ problem: { code: 'refused' } });
    expect(await value('server', {}, page)).toMatchObject({ paired: true });
  });
  test('ends with null: the token is deleted, the address is kept', async () => {
    await paired();
    expect(await value('pair', null, page)).toMatchObject({ address, paired: false, problem: { code: 'unpaired' } });
    expect(await send('submit', { photo: photo(), key: KEY })).toMatchObject({ problem: { code: 'unpaired' } });
  });
  test.each(['ftp://a.example', 'javascript:alert(1)', 'http://user:pass@a.example', 'http://a.example/path', 'a b'])(
    '%s is not an address',
    async (typed) => {
      expect(await send('pair', { address: typed, code: CODE }, page)).toMatchObject({ problem: { code: 'refused' } });
      expect(toy.seen).toEqual([]);
    },
  );
  test('an invalid token is reported', async () => {
    await fakeBrowser.storage.local.set({ pairing: { address, token: 'revoked' } });
    expect(await value('server', {}, page)).toMatchObject({ paired: true, problem: { code: 'unauthorised' } });
  });
  test('a broken stored value counts as unpaired', async () => {
    await fakeBrowser.storage.local.set({ pairing: 'broken' });
    expect(await value('server', {}, page)).toMatchObject({ address: 'http://127.0.0.1:8765', paired: false });
  });
});

describe('a photo', () => {
  beforeEach(paired);

  test('gets the recipe of the settings and the preset of its site', async () => {
    await value('change', { recipe: 'strong', deadline: 90 }, page);
    expect(await value('submit', { photo: photo(), key: KEY })).toEqual({ job: 'job1', deadline: 90 });
    expect(toy.seen.at(-1)?.query).toBe('recipe=strong&preset=instagram&deadline=90');
  });
  test('in a frame goes to the site of the tab', async () => {
    await value('submit', { photo: photo(), key: KEY }, inFrame);
    expect(toy.seen.at(-1)?.query).toContain('preset=instagram');
  });
  test('of an extension page gets the default preset', async () => {
    await value('submit', { photo: photo(), key: KEY }, page);
    expect(toy.seen.at(-1)?.query).toContain('preset=any');
  });
  test('sent as base64 arrives as bytes, and is returned as base64', async () => {
    const base64 = btoa(String.fromCharCode(...JPEG));
    await value('submit', { photo: { base64, type: 'image/jpeg' }, key: KEY });
    expect(new Uint8Array(toy.seen.at(-1)?.body ?? [])).toEqual(JPEG);
    const reply: { file: unknown } = await value('result', { job: 'job1', base64: true });
    expect(reply.file).toEqual({ base64: btoa(String.fromCharCode(...PROTECTED)), type: 'image/jpeg' });
  });
  test('is followed and fetched', async () => {
    await value('submit', { photo: photo(), key: KEY });
    expect(await value('follow', { job: 'job1', after: 0 })).toEqual({ events: [{ id: 1, event: 'done', data: {} }] });
    const reply: { file: Blob; receipt: unknown } = await value('result', { job: 'job1' });
    expect(reply.receipt).toEqual(RECEIPT);
    expect(reply.file).toBeInstanceOf(Blob);
  });
  test('cannot be read by another tab', async () => {
    await value('submit', { photo: photo(), key: KEY });
    const other = { ...bridge, tab: { id: 8, url: SITE } };
    expect(await send('result', { job: 'job1' }, other)).toMatchObject({ problem: { code: 'gone' } });
    expect(await send('follow', { job: 'job1', after: 0 }, other)).toMatchObject({ problem: { code: 'gone' } });
    await value('cancel', { job: 'job1' }, other);
    expect(toy.requestLines).not.toContain('DELETE /v1/jobs/job1');
  });
  test('can be cancelled, even if the server is gone', async () => {
    await value('submit', { photo: photo(), key: KEY });
    await value('cancel', { job: 'job1' });
    expect(toy.requestLines.at(-1)).toBe('DELETE /v1/jobs/job1');
    expect(await value('cancel', { job: 'unknown' })).toBeNull();
    await value('submit', { photo: photo(), key: KEY });
    await toy.stop();
    expect(await value('cancel', { job: 'job2' })).toBeNull();
    await toy.start();
  });
  test('is cancelled if its page was left before the server answered', async () => {
    listening = false;
    expect(await send('submit', { photo: photo(), key: KEY })).toMatchObject({ problem: { code: 'gone' } });
    expect(toy.requestLines.at(-1)).toBe('DELETE /v1/jobs/job1');
  });
});

describe('leaving a page cancels its jobs', () => {
  beforeEach(paired);
  const cancelled = (): string[] => toy.requestLines.filter((asked) => asked.startsWith('DELETE')).toSorted();

  test('a new document of the top frame cancels every job of the tab', async () => {
    await value('submit', { photo: photo(), key: KEY });
    await value('submit', { photo: photo(), key: KEY }, inFrame);
    await value('state', { fresh: true });
    await vi.waitFor(() => expect(cancelled()).toEqual(['DELETE /v1/jobs/job1', 'DELETE /v1/jobs/job2']));
  });
  test('a new document of a frame cancels the jobs of that frame', async () => {
    await value('submit', { photo: photo(), key: KEY });
    await value('submit', { photo: photo(), key: KEY }, inFrame);
    await value('state', { fresh: true }, inFrame);
    await vi.waitFor(() => expect(cancelled()).toEqual(['DELETE /v1/jobs/job2']));
  });
  test('closing a tab cancels its jobs', async () => {
    await value('submit', { photo: photo(), key: KEY });
    await cancelAll(7);
    expect(cancelled()).toEqual(['DELETE /v1/jobs/job1']);
  });
  test('requesting only the state cancels nothing', async () => {
    await value('submit', { photo: photo(), key: KEY });
    await value('state', {});
    expect(cancelled()).toEqual([]);
  });
});

describe('the state of a tab', () => {
  test('follows from the settings and the site of its top frame', async () => {
    await value('change', { off: ['elsewhere.example'], untrusted: ['instagram.com'], others: 'refuse' }, page);
    const state = { enabled: true, trusted: false, others: 'refuse', site: 'instagram.com' };
    expect(await value('state', {})).toEqual(state);
    expect(await value('state', {}, inFrame)).toEqual(state);
    expect(await value('state', {}, { ...bridge, url: 'https://elsewhere.example/' })).toMatchObject({
      enabled: false,
    });
  });
  test('a partly invalid change changes nothing, and names the invalid part', async () => {
    expect(await send('change', { enabled: false, deadline: -3 }, page)).toMatchObject({
      problem: { code: 'refused', detail: expect.stringContaining('deadline') as string },
    });
    expect(await value('settings', {}, page)).toEqual(DEFAULT_SETTINGS);
  });
  test('concurrent changes all take effect', async () => {
    await Promise.all([
      value('change', { enabled: false }, page),
      value('change', { recipe: 'draft' }, page),
      value('change', { off: ['a.example'] }, page),
    ]);
    expect(await value('settings', {}, page)).toEqual({
      ...DEFAULT_SETTINGS,
      enabled: false,
      recipe: 'draft',
      off: ['a.example'],
    });
  });
});

describe('holds are shown in the top frame', () => {
  const view = { hold: 'h', surface: 'input', site: 'x.com', photos: [], holding: true };

  test('with the frame that decisions go back to', async () => {
    await value('show', { hold: 'h', view }, inFrame);
    expect(told).toEqual([[7, { kind: 'show', frame: 3, hold: 'h', view }, { frameId: 0 }]]);
  });
  test('and the frame learns if that has no bridge', async () => {
    listening = false;
    expect((await send('show', { hold: 'h', view }, inFrame)).ok).toBe(false);
  });
  test('decisions come from the top frame only, and go to the frame that holds', async () => {
    const decision = { hold: 'h', photo: null, choice: 'nothing' };
    await value('decide', { decision, frame: 3 });
    expect(told).toEqual([[7, { kind: 'decide', decision }, { frameId: 3 }]]);
    expect((await send('decide', { decision, frame: 0 }, inFrame)).ok).toBe(false);
  });
});

test('the popup shows the latest uploads of its own tab only', async () => {
  await paired();
  const photos = [{ surface: 'input', name: 'a.jpg', outcome: 'protected', checks: '1 of 2 checks' }];
  await value('settled', { photos });
  await value('settled', { photos: [{ ...photos[0], name: 'b.jpg', outcome: 'withheld', checks: '' }] });
  const overview: { uploads: unknown[] } = await value('overview', { tab: 7, url: SITE }, page);
  expect(overview).toMatchObject({
    site: 'instagram.com',
    enabled: true,
    enabledHere: true,
    reachable: true,
    leaks: 0,
  });
  expect(overview.uploads).toMatchObject([
    { name: 'b.jpg', outcome: 'withheld', site: 'instagram.com' },
    { name: 'a.jpg', outcome: 'protected', checks: '1 of 2 checks' },
  ]);
  expect(await value('overview', { tab: 8, url: SITE }, page)).toMatchObject({ uploads: [] });
  expect(JSON.stringify(await fakeBrowser.storage.local.get())).not.toContain('a.jpg');
});

test('after a stream is cut off, the job can be followed again', async () => {
  await paired();
  await value('submit', { photo: photo(), key: KEY });
  toy.handlers.set('GET /v1/jobs/job1/events', ({ headers }, respond) =>
    events(respond, [['started', {}]], Number(headers['last-event-id'])),
  );
  expect(await value('follow', { job: 'job1', after: 0 })).toMatchObject({ events: [{ event: 'started' }] });
  expect(await value('follow', { job: 'job1', after: 1 })).toEqual({ events: [] });
});
