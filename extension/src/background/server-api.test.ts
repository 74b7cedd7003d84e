import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ProblemError, problemFromResponse } from '../problems';
import { CODE, events, FakeServer, JPEG, json, KEY, problem, PROTECTED, RECEIPT, TOKEN } from '../testing/fake-server';
import * as api from './server-api';

let toy: FakeServer;
let server: api.Server;

beforeEach(async () => {
  toy = new FakeServer();
  server = { address: await toy.start(), token: TOKEN };
});
afterEach(() => toy.stop());

const photo = (): Blob => new Blob([JPEG], { type: 'text/html' });

async function refusal(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof ProblemError ? error.problem : error),
  );
}

describe('a photo is submitted with its options', () => {
  test('as raw bytes, with their media type and the token', async () => {
    expect(await api.submit(server, photo(), KEY, { recipe: 'draft', preset: 'x', deadline: 20 })).toBe('job1');
    const [seen] = toy.seen;
    expect(seen).toMatchObject({ method: 'POST', path: '/v1/jobs', query: 'recipe=draft&preset=x&deadline=20' });
    expect(seen?.headers).toMatchObject({ 'content-type': 'image/jpeg', authorization: `Bearer ${TOKEN}` });
    expect(seen?.headers['idempotency-key']).toBe(KEY);
    expect(new Uint8Array(seen?.body ?? [])).toEqual(JPEG);
  });
  test('without options that are not set', async () => {
    await api.submit(server, photo(), KEY, { recipe: 'balanced', preset: null, deadline: null });
    expect(toy.seen[0]?.query).toBe('recipe=balanced');
  });
  test('without cookie, referrer or file name', async () => {
    await api.submit(server, new File([JPEG], 'private name.jpg'), KEY, {
      recipe: 'draft',
      preset: null,
      deadline: null,
    });
    expect(JSON.stringify(toy.seen[0])).not.toMatch(/private|referer|cookie/i);
  });
});

describe('every failure becomes a problem', () => {
  test.each([
    [401, 'unauthorised', undefined, { code: 'unauthorised', detail: 'Why it is so.' }],
    [403, 'origin', undefined, { code: 'unauthorised', detail: 'Why it is so.' }],
    [413, 'size', undefined, { code: 'too-large', detail: 'Why it is so.' }],
    [415, 'media', undefined, { code: 'refused', detail: 'Why it is so.' }],
    [422, 'photo', undefined, { code: 'refused', detail: 'Why it is so.' }],
    [408, 'slow', undefined, { code: 'busy', detail: 'Why it is so.' }],
    [503, 'full', 15, { code: 'busy', detail: 'Why it is so.', retryAfter: 15 }],
    [500, 'failed', undefined, { code: 'failed', detail: 'Why it is so.' }],
    [404, 'job', undefined, { code: 'gone', detail: 'Why it is so.' }],
  ])('%i %s', async (status, name, wait, expected) => {
    toy.handlers.set('POST /v1/jobs', (_, respond) => problem(respond, status, name, 'why it is so', wait));
    const asked = api.submit(server, photo(), KEY, { recipe: 'draft', preset: null, deadline: null });
    expect(await refusal(asked)).toEqual(expected);
  });
  test('a server with another host name is reported', () => {
    const told = { type: '/problems/host', detail: 'start it with --allow-host' };
    expect(problemFromResponse(421, told)).toEqual({ code: 'refused', detail: 'Start it with --allow-host.' });
  });
  test('another program at the address is reported', async () => {
    toy.handlers.set('GET /ready', (_, respond) => respond.writeHead(404).end('<h1>Not here</h1>'));
    expect(await refusal(api.ready(server))).toMatchObject({ code: 'unreachable' });
    toy.handlers.set('GET /ready', (_, respond) => respond.writeHead(200).end('<h1>Hello</h1>'));
    expect(await refusal(api.ready(server))).toMatchObject({ code: 'unreachable' });
    toy.handlers.set('GET /ready', (_, respond) => json(respond, { workers: 'many' }));
    expect(await refusal(api.ready(server))).toMatchObject({ code: 'unreachable' });
  });
  test('a redirect is not followed: the photo goes to the paired server only', async () => {
    const other = new FakeServer();
    const address = await other.start();
    toy.handlers.set('POST /v1/jobs', (_, respond) => respond.writeHead(307, { location: `${address}/v1/jobs` }).end());
    const asked = api.submit(server, photo(), KEY, { recipe: 'draft', preset: null, deadline: null });
    expect(await refusal(asked)).toMatchObject({ code: 'unreachable' });
    expect(other.seen).toEqual([]);
    await other.stop();
  });
  test('a missing server is reported', async () => {
    await toy.stop();
    expect(await refusal(api.ready(server))).toMatchObject({ code: 'unreachable' });
    await toy.start(); // for afterEach
  });
});

describe('a job is followed in short requests', () => {
  test('events are returned while the stream stays open', async () => {
    toy.handlers.set('GET /v1/jobs/j/events', (_, respond) =>
      events(
        respond,
        [
          ['queued', { position: 1 }],
          ['started', { attempt: 1 }],
        ],
        0,
        true,
      ),
    );
    expect(await api.follow(server, 'j', 0)).toEqual([
      { id: 1, event: 'queued', data: { position: 1 } },
      { id: 2, event: 'started', data: { attempt: 1 } },
    ]);
  });
  test('events are requested from the last one on', async () => {
    await api.follow(server, 'j', 7);
    expect(toy.seen[0]?.headers['last-event-id']).toBe('7');
  });
  test('the last event is returned immediately', async () => {
    toy.handlers.set('GET /v1/jobs/j/events', (_, respond) => events(respond, [['done', { bytes: 7 }]], 0, true));
    const begin = Date.now();
    expect((await api.follow(server, 'j', 0)).at(-1)?.event).toBe('done');
    expect(Date.now() - begin).toBeLessThan(2000);
  });
  test('events that arrived before the server died are returned', async () => {
    toy.handlers.set('GET /v1/jobs/j/events', (_, respond) => {
      events(respond, [['started', {}]], 0, true);
      setTimeout(() => respond.destroy(), 20);
    });
    expect(await api.follow(server, 'j', 0)).toHaveLength(1);
  });
  test('a server that dies without an event is unreachable', async () => {
    toy.handlers.set('GET /v1/jobs/j/events', (_, respond) => respond.destroy());
    expect(await refusal(api.follow(server, 'j', 0))).toMatchObject({ code: 'unreachable' });
  });
  test('a stream without events returns []', async () => {
    toy.handlers.set('GET /v1/jobs/j/events', (_, respond) => events(respond, []));
    expect(await api.follow(server, 'j', 0)).toEqual([]);
  });
});

describe('the result', () => {
  test("is the file with the server's media type, and the whole receipt", async () => {
    const { file, receipt } = await api.result(server, 'j');
    expect(file.type).toBe('image/jpeg');
    expect(new Uint8Array(await file.arrayBuffer())).toEqual(PROTECTED);
    expect(receipt).toEqual(RECEIPT);
  });
  test('is refused if it is not an image', async () => {
    toy.handlers.set('GET /v1/jobs/j/result', (_, respond) => json(respond, {}));
    expect(await refusal(api.result(server, 'j'))).toMatchObject({ code: 'failed' });
  });
  test('is refused without a valid receipt', async () => {
    toy.handlers.set('GET /v1/jobs/j/receipt', (_, respond) => json(respond, { recipe: 'x' }));
    expect(await refusal(api.result(server, 'j'))).toMatchObject({ code: 'unreachable' });
  });
});

test('cancelling a job that is gone succeeds', async () => {
  toy.handlers.set('DELETE /v1/jobs/j', (_, respond) => problem(respond, 404, 'job', 'no such job'));
  await expect(api.cancel(server, 'j')).resolves.toBeUndefined();
});

test('pairing exchanges the code for a token', async () => {
  expect(await api.pair(server.address, CODE)).toBe(TOKEN);
  expect(toy.seen[0]?.headers.authorization).toBeUndefined();
  expect(await refusal(api.pair(server.address, 'WRONG'))).toMatchObject({ code: 'refused' });
});

test('recipes and presets come from the server', async () => {
  expect(await api.choices(server)).toEqual({
    recipes: [{ name: 'draft', summary: 'fast', budget: 8, steps: 0, deadline: null }],
    presets: [{ name: 'any', label: 'a robust default' }],
  });
});
