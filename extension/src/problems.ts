/** Problems and replies, made in one place. */
import * as v from 'valibot';
import type { Problem, Reply } from './messages';
import { finite, isRecord } from './validators';

export function problem(code: Problem['code'], detail: string, retryAfter?: number): Problem {
  return retryAfter === undefined ? { code, detail } : { code, detail, retryAfter };
}

export const ok = <Value>(value: Value): Reply<Value> => ({ ok: true, value });

export const fail = (code: Problem['code'], detail: string, retryAfter?: number): { ok: false; problem: Problem } => ({
  ok: false,
  problem: problem(code, detail, retryAfter),
});

/** After an update of the extension its old scripts are cut off from it. */
export const RELOAD = problem('reload', 'The extension was updated: reload this page, then choose the photo again.');

export const TOO_LARGE = problem(
  'too-large',
  'This photo is larger than this browser lets an extension pass on: use a smaller one.',
);

/** Thrown where a handler cannot go on; the router makes a reply of it. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

export const problemError = (code: Problem['code'], detail: string, retryAfter?: number): ProblemError =>
  new ProblemError(problem(code, detail, retryAfter));

/** The server's problem details (RFC 9457) as ours. `told`: the JSON of the answer, whatever it is. */
export function problemFromResponse(status: number, told: unknown, retryAfter?: number): Problem {
  const details = isRecord(told) ? told : {};
  const kind = typeof details['type'] === 'string' ? details['type'] : '';
  const detail = typeof details['detail'] === 'string' ? asSentence(details['detail']) : '';
  if (!kind.startsWith('/problems/') && status < 500) {
    return problem(
      'unreachable',
      `Something answers there (${status}), but it is no Anti-I2V server: check the address.`,
    );
  }
  const wait = v.is(finite, details['retryAfter']) ? details['retryAfter'] : retryAfter;
  return problem(codeOf(status, kind), detail || `The server answered ${status} and gave no reason.`, wait);
}

function codeOf(status: number, kind: string): Problem['code'] {
  if (status === 401 || kind === '/problems/origin') return 'unauthorised';
  if (kind === '/problems/job' || kind === '/problems/cancelled') return 'gone';
  if (status === 413) return 'too-large';
  if (status === 503 || kind === '/problems/pending' || kind === '/problems/slow') return 'busy';
  return status < 500 ? 'refused' : 'failed';
}

/** The server words details as the end of a log line; a person reads a sentence. */
function asSentence(detail: string): string {
  const short = detail.slice(0, 500).trim();
  return short === '' ? '' : `${short.charAt(0).toUpperCase()}${short.slice(1)}${/[.!?]$/.test(short) ? '' : '.'}`;
}
