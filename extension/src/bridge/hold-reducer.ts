/**
 * State machine of one hold, as a pure reducer.
 *
 * Each photo is decided once: protected, withheld, or sent unprotected at the user's request. When all are decided, the
 * page gets its verdict. A failure decides nothing: the site waits, and gets nothing, until the user decides.
 */
import type { Decision, Hold, HoldView, PhotoOutcome, PhotoStage, PhotoView, Problem, Verdict } from '../messages';
import type { Receipt } from '../receipt';

export interface PhotoState extends PhotoView {
  verdict: Verdict | null;
}

export interface HoldState {
  hold: string;
  surface: Hold['surface'];
  site: string;
  photos: PhotoState[];
  /** The verdict was given, or the page no longer waits. */
  over: boolean;
}

export type HoldEvent =
  /** Ignored for a photo that is not being protected. */
  | { type: 'stage'; photo: string; stage: PhotoStage }
  | { type: 'deadline'; photo: string; deadline: number | null }
  | { type: 'thumbnail'; photo: string; thumbnail: string }
  | { type: 'protected'; photo: string; file: Blob; receipt: Receipt }
  | { type: 'previews'; photo: string; before: string; after: string }
  | { type: 'failed'; photo: string; problem: Problem }
  | { type: 'decided'; decision: Pick<Decision, 'photo' | 'choice'> }
  /** The page no longer waits, or was left. */
  | { type: 'dropped' };

export type HoldEffect =
  | { type: 'start'; photo: string }
  /** Stop protecting the photo, if it is being protected. */
  | { type: 'stop'; photo: string }
  | { type: 'verdict'; verdicts: Record<string, Verdict>; settled: PhotoOutcome[] };

interface Transition {
  state: HoldState;
  effects: HoldEffect[];
}

export function openHold(hold: Hold, site: string, now: number): Transition {
  const photos = hold.photos.map(({ id, name, file }): PhotoState => ({
    id,
    name,
    bytes: file.size,
    thumbnail: '',
    stage: { at: 'sending' },
    since: now,
    deadline: null,
    verdict: null,
  }));
  const state = { hold: hold.id, surface: hold.surface, site, photos, over: false };
  return closeIfDecided({ state, effects: photos.map(({ id }) => ({ type: 'start', photo: id })) });
}

export function reduceHold(state: HoldState, event: HoldEvent, now: number): Transition {
  if (event.type === 'dropped') return dropHold(state);
  if (event.type === 'decided') return applyDecision(state, event.decision, now);
  const effects: HoldEffect[] = [];
  const photos = state.photos.map((photo) => (photo.id === event.photo ? updatePhoto(photo, event) : photo));
  return closeIfDecided({ state: { ...state, photos }, effects });
}

/** View for the overlay. `holding`: whether the overlay still shows the hold as waiting. */
export function viewOfHold(state: HoldState, tabHoldId: string, holding = !state.over): HoldView {
  const photos = state.photos.map(({ verdict: _, ...photo }) => photo);
  return { hold: tabHoldId, surface: state.surface, site: state.site, photos, holding };
}

function updatePhoto(photo: PhotoState, event: Exclude<HoldEvent, { type: 'dropped' | 'decided' }>): PhotoState {
  switch (event.type) {
    case 'thumbnail':
      return { ...photo, thumbnail: event.thumbnail };
    case 'deadline':
      return { ...photo, deadline: event.deadline };
    case 'previews':
      if (photo.stage.at !== 'done') return photo;
      return { ...photo, stage: { ...photo.stage, before: event.before, after: event.after } };
    case 'stage':
      return isUnderway(photo) ? { ...photo, stage: event.stage } : photo;
    case 'failed':
      return isUnderway(photo) ? { ...photo, stage: { at: 'failed', problem: event.problem } } : photo;
    case 'protected': {
      if (!isUnderway(photo)) return photo;
      const { file, receipt } = event;
      return {
        ...photo,
        stage: { at: 'done', receipt, before: '', after: '' },
        verdict: { kind: 'protected', file },
      };
    }
  }
}

function applyDecision(
  state: HoldState,
  { photo, choice }: Pick<Decision, 'photo' | 'choice'>,
  now: number,
): Transition {
  const effects: HoldEffect[] = [];
  const photos = state.photos.map((each): PhotoState => {
    if (each.verdict !== null || state.over || (photo !== null && photo !== each.id)) return each;
    if (choice === 'retry') {
      if (each.stage.at !== 'failed') return each;
      effects.push({ type: 'start', photo: each.id });
      return { ...each, stage: { at: 'sending' }, since: now };
    }
    effects.push({ type: 'stop', photo: each.id });
    return choice === 'nothing'
      ? withhold(each)
      : { ...each, stage: { at: 'original' }, verdict: { kind: 'original' } };
  });
  return closeIfDecided({ state: { ...state, photos }, effects });
}

function dropHold(state: HoldState): Transition {
  if (state.over) return { state, effects: [] };
  const effects: HoldEffect[] = state.photos.map(({ id }) => ({ type: 'stop', photo: id }));
  // Protected photos are withheld too: the page is not waiting for them.
  return closeIfDecided({ state: { ...state, photos: state.photos.map(withhold) }, effects });
}

/** Adds the verdict once every photo is decided. */
function closeIfDecided({ state, effects }: Transition): Transition {
  if (state.over || state.photos.some(({ verdict }) => verdict === null)) return { state, effects };
  const verdicts = Object.fromEntries(
    state.photos.map(({ id, verdict }): [string, Verdict] => [id, verdict ?? { kind: 'nothing' }]),
  );
  return {
    state: { ...state, over: true },
    effects: [...effects, { type: 'verdict', verdicts, settled: state.photos.map((each) => outcomeOf(each, state)) }],
  };
}

function outcomeOf({ name, stage }: PhotoState, { surface }: HoldState): PhotoOutcome {
  if (stage.at === 'done') {
    const { beatsRandom, checks } = stage.receipt;
    return { surface, name, outcome: 'protected', checks: checks > 0 ? `${beatsRandom} of ${checks} checks` : '' };
  }
  return { surface, name, outcome: stage.at === 'original' ? 'original' : 'withheld', checks: '' };
}

const withhold = (photo: PhotoState): PhotoState => ({
  ...photo,
  stage: { at: 'withheld' },
  verdict: { kind: 'nothing' },
});

function isUnderway({ stage, verdict }: PhotoState): boolean {
  return verdict === null && ['sending', 'queued', 'running', 'fetching'].includes(stage.at);
}
