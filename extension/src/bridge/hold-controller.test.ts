import { beforeEach, expect, test, vi } from 'vitest';
import type { Hold, HoldView, PhotoOutcome, Reply, Verdict } from '../messages';
import type { ProgressReporter, Protected } from '../protect';
import { RECEIPT } from '../testing/fake-server';
import { HoldController } from './hold-controller';
import { JobPool } from './job-pool';

const hold: Hold = { id: 'h', surface: 'input', photos: [{ id: 'a', name: 'a.jpg', file: new Blob(['original']) }] };
const file = new Blob(['protected']);

let runs: { report: ProgressReporter; signal: AbortSignal; end(reply: Reply<Protected>): void }[];
let views: (HoldView | null)[];
let verdicts: [Record<string, Verdict>, PhotoOutcome[]][];
let over: number;

function held(): HoldController {
  return new HoldController(hold, {
    tabHoldId: 'frame h',
    site: 'x.com',
    jobPool: new JobPool((_, report, signal) => new Promise((end) => void runs.push({ report, signal, end }))),
    overlay: { show: (_, view) => void views.push(view), close: () => void views.push(null) },
    verdict: (given, settled) => void verdicts.push([given, settled]),
    ended: () => void over++,
  });
}

beforeEach(() => {
  [runs, views, verdicts, over] = [[], [], [], 0];
});

const started = (): Promise<void> => vi.waitFor(() => expect(runs.length).toBeGreaterThan(0));

test('the site gets its verdict, then the user a last view', async () => {
  held();
  await started();
  runs[0]?.report.stage({ at: 'running', step: 1, steps: 3 });
  expect(views.at(-1)?.photos[0]?.stage).toEqual({ at: 'running', step: 1, steps: 3 });
  runs[0]?.end({ ok: true, value: { file, receipt: RECEIPT } });
  await vi.waitFor(() => expect(over).toBe(1));
  expect(verdicts).toMatchObject([[{ a: { kind: 'protected', file } }, [{ outcome: 'protected' }]]]);
  expect(views.at(-1)).toMatchObject({ hold: 'frame h', holding: false, photos: [{ stage: { at: 'done' } }] });
  expect(views.at(-2)).toBeNull(); // the page is free before its photo arrives
  expect(views.slice(0, -2).every((view) => view?.holding)).toBe(true);
});

test('after a failure the site waits, and a retry starts a new job', async () => {
  const one = held();
  await started();
  runs[0]?.end({ ok: false, problem: { code: 'unreachable', detail: '' } });
  await vi.waitFor(() => expect(views.at(-1)?.photos[0]?.stage.at).toBe('failed'));
  expect(verdicts).toEqual([]);
  one.decide({ photo: null, choice: 'retry' });
  await vi.waitFor(() => expect(runs).toHaveLength(2));
  runs[1]?.end({ ok: true, value: { file, receipt: RECEIPT } });
  await vi.waitFor(() => expect(verdicts).toHaveLength(1));
});

test('"send nothing" stops the job', async () => {
  const one = held();
  await started();
  one.decide({ photo: null, choice: 'nothing' });
  expect(runs[0]?.signal.aborted).toBe(true);
  expect(verdicts).toMatchObject([[{ a: { kind: 'nothing' } }, [{ outcome: 'withheld' }]]]);
  await vi.waitFor(() =>
    expect(views.at(-1)).toMatchObject({ holding: false, photos: [{ stage: { at: 'withheld' } }] }),
  );
});

test('a page that is left stops the job, gets nothing, and is not shown again', async () => {
  const one = held();
  await started();
  one.drop();
  expect(runs[0]?.signal.aborted).toBe(true);
  expect(verdicts).toMatchObject([[{ a: { kind: 'nothing' } }, [{ outcome: 'withheld' }]]]);
  runs[0]?.end({ ok: true, value: { file, receipt: RECEIPT } });
  await vi.waitFor(() => expect(over).toBe(1));
  expect(views.at(-1)).toBeNull();
});
