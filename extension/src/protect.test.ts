import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fakeBrowser } from 'wxt/testing';
import type { JobEvent, PhotoStage, Reply, RequestName } from './messages';
import { fail, ok } from './problems';
import { protect, stageOf, type Protected } from './protect';
import { JPEG, PROTECTED, RECEIPT } from './testing/fake-server';

type Answers = { [Name in RequestName]?: (body: never, asked: number) => Reply<unknown> | Promise<Reply<unknown>> };

let asked: [RequestName, unknown][];

/** The background, as far as the runner knows it. */
function background(more: Answers = {}): void {
  const answers: Answers = {
    clones: () => ok({ clones: true }),
    submit: (_, count) => ok({ job: `job${count}`, deadline: 60 }),
    follow: () => ok({ events: [event(1, 'done')] }),
    result: () => ok({ file: new Blob([PROTECTED], { type: 'image/jpeg' }), receipt: RECEIPT }),
    cancel: () => ok(null),
    ...more,
  };
  vi.spyOn(fakeBrowser.runtime, 'sendMessage').mockImplementation((async (message: {
    name: RequestName;
    body: never;
  }) => {
    asked.push([message.name, message.body]);
    const count = asked.filter(([name]) => name === message.name).length;
    return answers[message.name]?.(message.body, count);
  }) as never);
}

const event = (id: number, name: JobEvent['event'], data: JobEvent['data'] = {}): JobEvent => ({
  id,
  event: name,
  data,
});
const names = (): RequestName[] => asked.map(([name]) => name).filter((name) => name !== 'clones');

function run(photo = new Blob([JPEG]), stop = new AbortController()) {
  const stages: PhotoStage[] = [];
  const report = { stage: (stage: PhotoStage) => void stages.push(stage), deadline: () => undefined };
  return { stages, stop, reply: protect(photo, report, stop.signal) };
}

async function settled(reply: Promise<Reply<Protected>>): Promise<Reply<Protected>> {
  await vi.runAllTimersAsync();
  return reply;
}

beforeEach(() => {
  asked = [];
  vi.useFakeTimers();
  background();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test('a photo is submitted, followed, fetched, and then deleted at the server', async () => {
  const { stages, reply } = run();
  const found = await settled(reply);
  expect(found.ok && found.value.receipt).toEqual(RECEIPT);
  expect(names()).toEqual(['submit', 'follow', 'result', 'cancel']);
  expect(stages.map(({ at }) => at)).toEqual(['sending', 'fetching']);
});

test('events are requested from the last one on', async () => {
  const news = [
    [event(1, 'queued', { position: 2 }), event(2, 'started')],
    [],
    [event(3, 'step', { step: 1, steps: 9 })],
    [event(4, 'effect'), event(5, 'done')],
  ];
  background({ follow: (_, count) => ok({ events: news[count - 1] }) });
  const { stages, reply } = run();
  expect((await settled(reply)).ok).toBe(true);
  expect(asked.filter(([name]) => name === 'follow').map(([, body]) => body)).toEqual([
    { job: 'job1', after: 0 },
    { job: 'job1', after: 2 },
    { job: 'job1', after: 2 },
    { job: 'job1', after: 3 },
  ]);
  expect(stages).toEqual([
    { at: 'sending' },
    { at: 'queued', position: 2 },
    { at: 'running', step: 0, steps: null },
    { at: 'running', step: 1, steps: 9 },
    { at: 'fetching' },
  ]);
});

describe('interrupted requests are repeated', () => {
  test('after an eviction of the background', async () => {
    let evicted = 2;
    background({
      follow: () => {
        if (evicted-- > 0) throw new Error('The message channel closed before a response was received');
        return ok({ events: [event(1, 'done')] });
      },
    });
    expect((await settled(run().reply)).ok).toBe(true);
    expect(names().filter((name) => name === 'submit')).toHaveLength(1);
  });
  test('while the server is unreachable for a moment', async () => {
    background({
      follow: (_, count) => (count < 3 ? fail('unreachable', '') : ok({ events: [event(1, 'done')] })),
    });
    expect((await settled(run().reply)).ok).toBe(true);
  });
  test('after a restart of the server, the photo is submitted once more', async () => {
    background({
      follow: ({ job }: { job: string }) => (job === 'job1' ? fail('gone', '') : ok({ events: [event(1, 'done')] })),
    });
    expect((await settled(run().reply)).ok).toBe(true);
    background({ follow: () => fail('gone', 'It is gone.') });
    asked = [];
    expect(await settled(run().reply)).toEqual(fail('gone', 'It is gone.'));
    const submits = asked.filter(([name]) => name === 'submit').map(([, body]) => body as { key: string });
    expect(submits).toHaveLength(2);
    expect(submits[1]?.key).not.toBe(submits[0]?.key); // another job, not an answer that was lost
    expect(submits[0]?.key).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('failures are returned as problems', () => {
  test('a server that stays away', async () => {
    background({ follow: () => fail('unreachable', 'Nothing answers.') });
    expect(await settled(run().reply)).toEqual(fail('unreachable', 'Nothing answers.'));
    expect(names().at(-1)).toBe('cancel');
  });
  test('a full server is not asked again: the user sees when to retry', async () => {
    background({ submit: () => fail('busy', 'Full.', 15) });
    expect(await settled(run().reply)).toEqual(fail('busy', 'Full.', 15));
    expect(names()).toEqual(['submit']);
  });
  test.each([
    [
      { type: '/problems/photo', status: 422, detail: 'too small' },
      { code: 'refused', detail: 'Too small.' },
    ],
    [
      { type: '/problems/failed', status: 500, detail: 'it broke' },
      { code: 'failed', detail: 'It broke.' },
    ],
    [{}, { code: 'failed' }],
  ])('a job that failed with %o', async (data, problem) => {
    background({ follow: () => ok({ events: [event(1, 'failed', data)] }) });
    expect(await settled(run().reply)).toMatchObject({ ok: false, problem });
  });
  test('an updated extension', async () => {
    background({
      submit: () => {
        throw new Error('Extension context invalidated.');
      },
    });
    expect(await settled(run().reply)).toMatchObject({ ok: false, problem: { code: 'reload' } });
  });
  test('a message over the limit of the browser', async () => {
    background({
      submit: () => {
        throw new Error('Message length exceeded maximum allowed length.');
      },
    });
    expect(await settled(run().reply)).toMatchObject({ ok: false, problem: { code: 'too-large' } });
  });
  test.each([['hello'], ['GIF89a'], ['']])('%o is not a photo and is not submitted', async (bytes) => {
    expect(await settled(run(new Blob([bytes])).reply)).toMatchObject({ ok: false, problem: { code: 'refused' } });
    expect(names()).toEqual([]);
  });
});

describe('aborting cancels the job at the server', () => {
  test('immediately, while events are awaited', async () => {
    background({ follow: () => new Promise(() => undefined) });
    const { stop } = run();
    await vi.advanceTimersByTimeAsync(10);
    stop.abort();
    expect(names()).toEqual(['submit', 'follow', 'cancel']);
  });
  test('even if the job gets its id only afterwards', async () => {
    let submitted: (reply: Reply<unknown>) => void = () => undefined;
    background({ submit: () => new Promise((resolve) => (submitted = resolve)) });
    const { stop, reply } = run();
    await vi.advanceTimersByTimeAsync(10);
    stop.abort();
    submitted(ok({ job: 'late', deadline: null }));
    await settled(reply);
    expect(asked.at(-1)).toEqual(['cancel', { job: 'late' }]);
  });
});

test('events that do not concern the user have no stage', () => {
  expect(stageOf(event(1, 'effect'))).toBeNull();
  expect(stageOf(event(1, 'step', { step: 'x' }))).toBeNull();
});
