/**
 * Queries between engines of same-origin frames. A photo may be picked in one frame and sent by `fetch` of another,
 * which would protect it again. Used only for the network surface: the page can forge an answer, but what it sends is
 * under its control anyway, unlike what the user brings in.
 */
import type { AllowedBytes } from './allowed-bytes';
import type { Fingerprint } from './fingerprint';
import { dispatch, listen, type Realm } from './primordials';

const QUERY_EVENT = 'anti-i2v:asked';

interface Question {
  print: Fingerprint;
  answers: Promise<boolean>[];
}

const createEvent = CustomEvent;
const allOf = Promise.all.bind(Promise) as (answers: Promise<boolean>[]) => Promise<boolean[]>;

export function answerOtherFrames(allowedBytes: AllowedBytes): (realm: Realm) => void {
  const answer = (event: Event): void => {
    const question = (event as CustomEvent<Question | null>).detail;
    if (question !== null) question.answers[question.answers.length] = allowedBytes.isAllowedHere(question.print);
  };
  return (realm) => {
    listen(realm, QUERY_EVENT, answer);
  };
}

export async function isAllowedByOtherFrame(print: Fingerprint): Promise<boolean> {
  const question: Question = { print, answers: [] };
  const query = (frame: Window): void => {
    try {
      // This frame was checked before. Access to another origin throws.
      if (frame !== window && frame.document !== null) {
        dispatch(frame, new createEvent(QUERY_EVENT, { detail: question }));
      }
    } catch {
      // another origin
    }
    for (let index = 0; index < frame.length; index += 1) query(frame[index] as Window);
  };
  query(window.top ?? window);
  return (await allOf(question.answers)).some((answer) => answer === true);
}
