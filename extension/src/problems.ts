/** Constructors of problems and replies. */
import * as v from 'valibot';
import { asSentence } from './as-sentence';
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

/** After an update of the extension, its old content scripts cannot reach it. */
export const RELOAD = problem('reload', 'The extension was updated. Reload this page, then choose the photo again.');

export const TOO_LARGE = problem(
  'too-large',
  'This photo is larger than the browser lets an extension transfer. Use a smaller one.',
);

/** Thrown by a request handler; the router turns it into a failed reply. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

export const problemError = (code: Problem['code'], detail: string, retryAfter?: number): ProblemError =>
  new ProblemError(problem(code, detail, retryAfter));

/** Converts problem details (RFC 9457) of the server. `body`: JSON of the response body, of any shape. */
export function problemFromResponse(status: number, body: unknown, retryAfter?: number): Problem {
  const details = isRecord(body) ? body : {};
  const kind = typeof details['type'] === 'string' ? details['type'] : '';
  const detail = typeof details['detail'] === 'string' ? asSentence(details['detail'].slice(0, 500).trim()) : '';
  if (!kind.startsWith('/problems/') && status < 500) {
    return problem(
      'unreachable',
      `The address answers (${status}), but it is not an Anti-I2V server. Check the address.`,
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
