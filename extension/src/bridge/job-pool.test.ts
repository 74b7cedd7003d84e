import { expect, test, vi } from 'vitest';
import type { PhotoStage, Reply } from '../messages';
import type { ProgressReporter, Protected, protect } from '../protect';
import { RECEIPT } from '../testing/fake-server';
import { JobPool, type JobListener } from './job-pool';

interface Run {
  photo: Blob;
  report: ProgressReporter;
  signal: AbortSignal;
  end(reply: Reply<Protected>): void;
}

function newPool(most = 3): { newPool: JobPool; runs: Run[] } {
  const runs: Run[] = [];
  const run: typeof protect = (photo, report, signal) =>
    new Promise((end) => {
      runs.push({ photo, report, signal, end });
    });
  return { newPool: new JobPool(run, most), runs };
}

function newListener(): JobListener & { stages: PhotoStage[]; replies: Reply<Protected>[] } {
  const stages: PhotoStage[] = [];
  const replies: Reply<Protected>[] = [];
  return {
    stages,
    replies,
    stage: (stage) => void stages.push(stage),
    deadline: () => undefined,
    done: (reply) => void replies.push(reply),
  };
}

const done: Reply<Protected> = { ok: true, value: { file: new Blob(['p']), receipt: RECEIPT } };
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

test('at most three jobs run at a time, and the next starts when one has ended', async () => {
  const { newPool: pool, runs } = newPool();
  const all = ['a', 'b', 'c', 'd', 'e'].map((name) => {
    const one = newListener();
    pool.join(new Blob([name]), one);
    return one;
  });
  await settle();
  expect(runs).toHaveLength(3);
  runs[0]?.end(done);
  await settle();
  expect(runs).toHaveLength(4);
  expect(all[0]?.replies).toEqual([done]);
});

test('the same photo is protected once, and all its listeners get the reply', async () => {
  const { newPool: pool, runs } = newPool();
  const [one, other] = [newListener(), newListener()];
  pool.join(new Blob(['same']), one);
  await settle();
  runs[0]?.report.stage({ at: 'running', step: 1, steps: 2 });
  pool.join(new Blob(['same']), other);
  pool.join(new Blob(['diff']), newListener()); // as long, and another
  await settle();
  expect(runs).toHaveLength(2);
  expect(other.stages).toEqual([{ at: 'running', step: 1, steps: 2 }]);
  runs[0]?.end(done);
  await settle();
  expect([one.replies, other.replies]).toEqual([[done], [done]]);
});

test('a job is stopped when its last listener leaves', async () => {
  const { newPool: pool, runs } = newPool();
  const leave = [pool.join(new Blob(['x']), newListener()), pool.join(new Blob(['x']), newListener())];
  await settle();
  leave[0]?.();
  expect(runs[0]?.signal.aborted).toBe(false);
  leave[1]?.();
  expect(runs[0]?.signal.aborted).toBe(true);
});

test('a listener that leaves before the start gets nothing, and nothing is started', async () => {
  const { newPool: pool, runs } = newPool();
  const one = newListener();
  pool.join(new Blob(['x']), one)();
  await settle();
  expect(runs).toEqual([]);
  expect(one.stages).toEqual([]);
});

test('a listener that left gets no reply', async () => {
  const { newPool: pool, runs } = newPool();
  const one = newListener();
  const leave = pool.join(new Blob(['x']), one);
  await settle();
  leave();
  runs[0]?.end(done);
  await settle();
  expect(one.replies).toEqual([]);
});

test('a failed photo can be protected again', async () => {
  const { newPool: pool, runs } = newPool();
  pool.join(new Blob(['x']), newListener());
  await settle();
  runs[0]?.end({ ok: false, problem: { code: 'busy', detail: '' } });
  await settle();
  pool.join(new Blob(['x']), newListener());
  await vi.waitFor(() => expect(runs).toHaveLength(2));
});
