/** Requests to the background. Its worker may be evicted at any time, so a request is repeated where that is safe. */
import { browser } from 'wxt/browser';
import type { Problem, Replies, Reply, RequestBody, RequestName } from './messages';
import { fail, RELOAD, TOO_LARGE } from './problems';
import { sleep } from './sleep';

/** Requests that are not idempotent. */
const NOT_REPEATABLE = new Set<RequestName>(['pair', 'settled']);
/** Milliseconds before each retry. */
const RETRY_DELAYS = [100, 1000];

/** Sends a request and returns the reply. Never throws. */
export async function sendRequest<Name extends RequestName>(
  name: Name,
  body: RequestBody<Name>,
): Promise<Reply<Replies[Name]>> {
  for (let tries = 0; ; tries++) {
    try {
      // After an update of the extension, its old content scripts have no runtime id.
      if (browser.runtime?.id === undefined) return { ok: false, problem: RELOAD };
      const reply: unknown = await browser.runtime.sendMessage({ name, body });
      if (isReply<Replies[Name]>(reply)) return reply;
    } catch (error) {
      const found = problemOfError(error);
      if (found !== null) return { ok: false, problem: found };
    }
    const pause = RETRY_DELAYS[tries];
    if (NOT_REPEATABLE.has(name) || pause === undefined)
      return fail('internal', 'The extension did not answer. Try again.');
    await sleep(pause);
  }
}

function isReply<Value>(reply: unknown): reply is Reply<Value> {
  return typeof reply === 'object' && reply !== null && 'ok' in reply && (reply.ok === true || 'problem' in reply);
}

/** null: a retry may help, as the background was evicted or is starting. */
function problemOfError(error: unknown): Problem | null {
  const text = String(error);
  if (/context invalidated/i.test(text)) return RELOAD;
  return /length|exceeded|too large|maximum/i.test(text) ? TOO_LARGE : null;
}
