import { expect, test, vi } from 'vitest';
import type { PhotoStage, Reply } from '../messages';
import type { Protected, protect, ProgressReporter } from '../protect';
import { RECEIPT } from '../testing/fake-server';
import { JobPool, type JobListener } from './job-pool';

interface Run {
  photo: Blob;
  report: ProgressReporter;
  signal: AbortSignal;
  end(reply: Reply<Protected>): void;
}

function works(most = 3): { works: JobPool; runs: Run[] } {
  const runs: Run[] = [];
  const run: typeof protect = (photo, report, signal) =>
    new Promise((end) => {
      runs.push({ photo, report, signal, end });
    });
  return { works: new JobPool(run, most), runs };
}

function waiting(): JobListener & { stages: PhotoStage[]; replies: Reply<Protected>[] } {
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

test('at most three run at once, and the next follows when one has ended', async () => {
  const { works: pool, runs } = works();
  const all = ['a', 'b', 'c', 'd', 'e'].map((name) => {
    const one = waiting();
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

test('the same photo is protected once, and all who wait for it get the answer', async () => {
  const { works: pool, runs } = works();
  const [one, other] = [waiting(), waiting()];
  pool.join(new Blob(['same']), one);
  await settle();
  runs[0]?.report.stage({ at: 'running', step: 1, steps: 2 });
  pool.join(new Blob(['same']), other);
  pool.join(new Blob(['diff']), waiting()); // as long, and another
  await settle();
  expect(runs).toHaveLength(2);
  expect(other.stages).toEqual([{ at: 'running', step: 1, steps: 2 }]);
  runs[0]?.end(done);
  await settle();
  expect([one.replies, other.replies]).toEqual([[done], [done]]);
});

test('a job is stopped when the last who waits has left', async () => {
  const { works: pool, runs } = works();
  const leave = [pool.join(new Blob(['x']), waiting()), pool.join(new Blob(['x']), waiting())];
  await settle();
  leave[0]?.();
  expect(runs[0]?.signal.aborted).toBe(false);
  leave[1]?.();
  expect(runs[0]?.signal.aborted).toBe(true);
});

test('who left before it began starts nothing, and hears nothing', async () => {
  const { works: pool, runs } = works();
  const one = waiting();
  pool.join(new Blob(['x']), one)();
  await settle();
  expect(runs).toEqual([]);
  expect(one.stages).toEqual([]);
});

test('who left is not told any more', async () => {
  const { works: pool, runs } = works();
  const one = waiting();
  const leave = pool.join(new Blob(['x']), one);
  await settle();
  leave();
  runs[0]?.end(done);
  await settle();
  expect(one.replies).toEqual([]);
});

test('a photo that failed may be tried again', async () => {
  const { works: pool, runs } = works();
  pool.join(new Blob(['x']), waiting());
  await settle();
  runs[0]?.end({ ok: false, problem: { code: 'busy', detail: '' } });
  await settle();
  pool.join(new Blob(['x']), waiting());
  await vi.waitFor(() => expect(runs).toHaveLength(2));
});
