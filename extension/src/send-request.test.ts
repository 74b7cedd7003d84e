import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { fakeBrowser } from 'wxt/testing';
import { ok } from './problems';
import { sendRequest } from './send-request';

let answers: (unknown | Error)[];
let sent: unknown[];

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  vi.spyOn(fakeBrowser.runtime, 'sendMessage').mockImplementation((async (message: unknown) => {
    sent.push(message);
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  }) as never);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const BODIES = {
  settings: {},
  submit: { photo: new Blob(), key: 'k'.repeat(32) },
  pair: { address: 'http://localhost:8000', code: 'ABCD' },
};

async function asked(name: keyof typeof BODIES): Promise<unknown> {
  const reply = sendRequest(name, BODIES[name]);
  await vi.runAllTimersAsync();
  return reply;
}

const CLOSED = new Error('The message channel closed before a response was received');
const NOBODY = new Error('Could not establish connection. Receiving end does not exist.');

test('a request to an evicted background is repeated', async () => {
  answers = [CLOSED, NOBODY, ok('settings')];
  expect(await asked('settings')).toEqual(ok('settings'));
  expect(sent).toHaveLength(3);
});

test('a reply of another shape counts as no reply', async () => {
  answers = [undefined, { stranger: true }, ok('settings')];
  expect(await asked('settings')).toEqual(ok('settings'));
});

test('a photo is submitted again under the same key, so that it stays one job', async () => {
  answers = [CLOSED, ok({ job: 'j' })];
  expect(await asked('submit')).toEqual(ok({ job: 'j' }));
  expect(sent).toHaveLength(2);
  expect(sent[1]).toEqual(sent[0]);
});

test('a pairing code is not sent twice', async () => {
  answers = [CLOSED, ok('late')];
  expect(await asked('pair')).toMatchObject({ ok: false, problem: { code: 'internal' } });
  expect(sent).toHaveLength(1);
});

test('after the last retry it returns a problem', async () => {
  answers = [CLOSED, CLOSED, CLOSED, ok('late')];
  expect(await asked('settings')).toMatchObject({ ok: false, problem: { code: 'internal' } });
});

test('a problem is a reply', async () => {
  const problem = { ok: false, problem: { code: 'busy', detail: 'Full.' } };
  answers = [problem];
  expect(await asked('settings')).toEqual(problem);
});

test.each([
  ['Extension context invalidated.', 'reload'],
  ['Message length exceeded maximum allowed length.', 'too-large'],
])('%s becomes %s, without a retry', async (words, code) => {
  answers = [new Error(words), ok('never')];
  expect(await asked('settings')).toMatchObject({ ok: false, problem: { code } });
  expect(sent).toHaveLength(1);
});
