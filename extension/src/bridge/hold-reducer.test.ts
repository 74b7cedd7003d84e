import { describe, expect, test } from 'vitest';
import type { Hold, Problem } from '../messages';
import { RECEIPT } from '../testing/fake-server';
import { openHold, reduceHold, viewOfHold, type HoldEffect, type HoldEvent, type HoldState } from './hold-reducer';

const hold: Hold = {
  id: 'h',
  surface: 'drop',
  photos: [
    { id: 'a', name: 'a.jpg', file: new Blob(['original a']) },
    { id: 'b', name: '', file: new Blob(['original b']) },
  ],
};
const file = new Blob(['protected']);
const problem: Problem = { code: 'unreachable', detail: 'Nothing answers.' };

const done = (photo: string): HoldEvent => ({ type: 'protected', photo, file, receipt: RECEIPT });
const failed = (photo: string): HoldEvent => ({ type: 'failed', photo, problem });
const decides = (photo: string | null, choice: 'retry' | 'nothing' | 'original'): HoldEvent => ({
  type: 'decided',
  decision: { photo, choice },
});

/** Everything that happened, and every effect of it; the first two effects start the photos. */
function after(...events: HoldEvent[]): { state: HoldState; effects: HoldEffect[] } {
  let { state, effects } = openHold(hold, 'x.com', 1000);
  for (const event of events) {
    const next = reduceHold(state, event, 2000);
    state = next.state;
    effects = [...effects, ...next.effects];
  }
  return { state, effects };
}

const verdictsOf = (effects: HoldEffect[]) => effects.filter((effect) => effect.type === 'verdict');
const stages = (state: HoldState) => state.photos.map(({ stage }) => stage.at);

test('every photo is started immediately, and the site waits', () => {
  const { state, effects } = after();
  expect(effects).toEqual([
    { type: 'start', photo: 'a' },
    { type: 'start', photo: 'b' },
  ]);
  expect(viewOfHold(state, 'tab h')).toMatchObject({ hold: 'tab h', surface: 'drop', site: 'x.com', holding: true });
});

test('the view follows the server, and contains no bytes of a photo', () => {
  const running: HoldEvent = { type: 'stage', photo: 'a', stage: { at: 'running', step: 3, steps: 45 } };
  const { state } = after(
    running,
    { type: 'thumbnail', photo: 'a', thumbnail: 'data:x' },
    { type: 'deadline', photo: 'a', deadline: 60 },
  );
  const view = viewOfHold(state, 'h');
  expect(view.photos[0]).toEqual({
    id: 'a',
    name: 'a.jpg',
    bytes: 10,
    thumbnail: 'data:x',
    stage: { at: 'running', step: 3, steps: 45 },
    since: 1000,
    deadline: 60,
  });
  expect(view.photos[1]?.stage).toEqual({ at: 'sending' });
});

describe('the verdict is given once, for all photos', () => {
  test('when the last photo is protected', () => {
    expect(verdictsOf(after(done('a')).effects)).toEqual([]);
    const { state, effects } = after(done('a'), done('b'), done('b'));
    expect(verdictsOf(effects)).toEqual([
      {
        type: 'verdict',
        verdicts: { a: { kind: 'protected', file }, b: { kind: 'protected', file } },
        settled: [
          { surface: 'drop', name: 'a.jpg', outcome: 'protected', checks: '12 of 14 checks' },
          { surface: 'drop', name: '', outcome: 'protected', checks: '12 of 14 checks' },
        ],
      },
    ]);
    expect(state.over).toBe(true);
  });
  test('with what was decided for each', () => {
    const { effects } = after(failed('a'), decides('a', 'nothing'), done('b'));
    expect(verdictsOf(effects)).toMatchObject([{ verdicts: { a: { kind: 'nothing' }, b: { kind: 'protected' } } }]);
  });
  test('immediately for a hold without photos', () => {
    expect(openHold({ ...hold, photos: [] }, '', 0).effects).toMatchObject([{ type: 'verdict', verdicts: {} }]);
  });
});

describe('if anything fails, the site gets nothing', () => {
  test('a failure decides nothing', () => {
    const { state, effects } = after(failed('a'), failed('b'));
    expect(verdictsOf(effects)).toEqual([]);
    expect(stages(state)).toEqual(['failed', 'failed']);
    expect(viewOfHold(state, 'h').holding).toBe(true);
  });
  test('an original is released only by a decision for that photo', () => {
    const { effects } = after(failed('a'), failed('b'), decides('a', 'original'), decides('b', 'nothing'));
    expect(verdictsOf(effects)).toMatchObject([
      {
        verdicts: { a: { kind: 'original' }, b: { kind: 'nothing' } },
        settled: [{ outcome: 'original' }, { outcome: 'withheld' }],
      },
    ]);
  });
  test('releasing the original of a running photo stops its job', () => {
    expect(after(decides('a', 'original')).effects).toContainEqual({ type: 'stop', photo: 'a' });
  });
  test('events after the decision change nothing', () => {
    const { state } = after(decides('a', 'nothing'), done('a'), failed('a'), {
      type: 'stage',
      photo: 'a',
      stage: { at: 'fetching' },
    });
    expect(state.photos[0]).toMatchObject({ stage: { at: 'withheld' }, verdict: { kind: 'nothing' } });
  });
});

describe('a decision', () => {
  test('for all does not affect protected photos', () => {
    const { effects } = after(done('a'), failed('b'), decides(null, 'nothing'));
    expect(verdictsOf(effects)).toMatchObject([{ verdicts: { a: { kind: 'protected' }, b: { kind: 'nothing' } } }]);
    expect(effects).not.toContainEqual({ type: 'stop', photo: 'a' });
  });
  test('to retry starts only failed photos', () => {
    const { state, effects } = after(failed('a'), decides(null, 'retry'));
    expect(effects.slice(2)).toEqual([{ type: 'start', photo: 'a' }]);
    expect(state.photos.map(({ since }) => since)).toEqual([2000, 1000]);
    expect(stages(state)).toEqual(['sending', 'sending']);
  });
  test('after the verdict is ignored', () => {
    const { state, effects } = after(decides(null, 'nothing'), decides(null, 'original'), decides(null, 'retry'));
    expect(verdictsOf(effects)).toHaveLength(1);
    expect(stages(state)).toEqual(['withheld', 'withheld']);
  });
  test('about an unknown photo changes nothing', () => {
    expect(stages(after(decides('zzz', 'original')).state)).toEqual(['sending', 'sending']);
  });
});

describe('a page that drops its photos', () => {
  test('gets none of them, and the jobs are stopped', () => {
    const { state, effects } = after(done('a'), { type: 'dropped' });
    expect(effects.slice(2, 4)).toEqual([
      { type: 'stop', photo: 'a' },
      { type: 'stop', photo: 'b' },
    ]);
    expect(verdictsOf(effects)).toMatchObject([{ verdicts: { a: { kind: 'nothing' }, b: { kind: 'nothing' } } }]);
    expect(stages(state)).toEqual(['withheld', 'withheld']);
  });
  test('changes nothing after the verdict', () => {
    expect(after(done('a'), done('b'), { type: 'dropped' }).effects).toHaveLength(3);
  });
});

test('only finished photos get previews', () => {
  const previews: HoldEvent = { type: 'previews', photo: 'a', before: 'data:1', after: 'data:2' };
  expect(after(previews).state.photos[0]?.stage).toEqual({ at: 'sending' });
  expect(after(done('a'), previews).state.photos[0]?.stage).toMatchObject({
    at: 'done',
    before: 'data:1',
    after: 'data:2',
  });
});

test('a state is never mutated', () => {
  const { state } = openHold(hold, '', 0);
  const frozen = structuredClone({ ...state, photos: state.photos.map(({ verdict: _, ...photo }) => photo) });
  reduceHold(state, done('a'), 1);
  expect({ ...state, photos: state.photos.map(({ verdict: _, ...photo }) => photo) }).toEqual(frozen);
});
