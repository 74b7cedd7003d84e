/**
 * Protects one photo: submits it, follows the job, fetches the result. For the bridge, and for pages of the extension.
 *
 * Whatever dies meanwhile is asked again: the background may be evicted, the server restarted.
 */
import * as v from 'valibot';
import { sendRequest } from './send-request';
import { readBytes } from './read-bytes';
import type { JobEvent, PhotoStage, Problem, Reply } from './messages';
import { supportsBlobMessages, packBlob, unpackBlob } from './blob-transfer';
import { SNIFF_BYTES, sniffImage } from './sniff-photo';
import { sleep } from './sleep';
import { fail, problem, problemFromResponse, TOO_LARGE } from './problems';
import type { Receipt } from './receipt';
import { count } from './validators';

export interface Protected {
  file: Blob;
  receipt: Receipt;
}

/** What is told on the way; `deadline`: the seconds that the server was given, null for the recipe's own. */
export interface ProgressReporter {
  stage(stage: PhotoStage): void;
  deadline(seconds: number | null): void;
}

/** Milliseconds before a server that did not answer is asked again: it may be restarting. */
const RETRY_DELAYS = [1000, 3000, 6000];
/** Milliseconds between two answers without news that came faster than they should. */
const MIN_POLL_INTERVAL = 500;

const STOPPED = fail('internal', 'This was stopped.');
const NOT_A_PHOTO = fail(
  'refused',
  'This file is no photo in a format that can be protected: JPEG, PNG, WebP, AVIF or HEIC.',
);
const UNREADABLE = fail('refused', 'This file cannot be read: it was moved, changed or deleted meanwhile.');

/** Never throws. Aborting stops the job at the server; the answer is of no use then. */
export async function protect(photo: Blob, report: ProgressReporter, signal: AbortSignal): Promise<Reply<Protected>> {
  report.stage({ at: 'sending' });
  const kind = await kindOf(photo);
  if (kind === null) return UNREADABLE;
  if (kind !== 'photo') return NOT_A_PHOTO;
  const found = await runJob(photo, report, signal);
  if (found.ok || found.problem.code !== 'gone' || signal.aborted) return found;
  report.stage({ at: 'sending' });
  return runJob(photo, report, signal); // the server was restarted, and forgot
}

async function kindOf(photo: Blob): Promise<string | null> {
  try {
    return sniffImage(await readBytes(photo.slice(0, SNIFF_BYTES)));
  } catch {
    return null;
  }
}

async function runJob(photo: Blob, report: ProgressReporter, signal: AbortSignal): Promise<Reply<Protected>> {
  const base64 = !(await supportsBlobMessages());
  const packed = await packBlob(photo, base64).catch(() => null);
  if (packed === null) return UNREADABLE;
  if (packed === undefined) return { ok: false, problem: TOO_LARGE };
  if (signal.aborted) return STOPPED;
  const submitted = await sendRequest('submit', { photo: packed, key: newIdempotencyKey() });
  if (!submitted.ok) return submitted;
  const { job, deadline } = submitted.value;
  report.deadline(deadline);
  const cancel = (): void => void sendRequest('cancel', { job });
  if (signal.aborted) {
    cancel();
    return STOPPED;
  }
  signal.addEventListener('abort', cancel, { once: true }); // at once, whatever is being waited for
  const found = await fetchResult(job, base64, report, signal);
  signal.removeEventListener('abort', cancel);
  if (!signal.aborted) cancel(); // the server need not keep what we have, or will not fetch
  return found;
}

/** Pages without TLS have no `randomUUID`. */
function newIdempotencyKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function fetchResult(
  job: string,
  base64: boolean,
  report: ProgressReporter,
  signal: AbortSignal,
): Promise<Reply<Protected>> {
  const ended = await waitForEnd(job, report, signal);
  if (ended !== null) return { ok: false, problem: ended };
  report.stage({ at: 'fetching' });
  const fetched = await withRetries(() => sendRequest('result', { job, base64 }), signal);
  if (!fetched.ok) return fetched;
  return { ok: true, value: { file: unpackBlob(fetched.value.file), receipt: fetched.value.receipt } };
}

/** Until the job has ended: null when it is done. */
async function waitForEnd(job: string, report: ProgressReporter, signal: AbortSignal): Promise<Problem | null> {
  for (let after = 0; ;) {
    if (signal.aborted) return STOPPED.problem;
    const asked = Date.now();
    const news = await withRetries(() => sendRequest('follow', { job, after }), signal);
    if (!news.ok) return news.problem;
    for (const event of news.value.events) {
      after = Math.max(after, event.id);
      const stage = stageOf(event);
      if (stage !== null) report.stage(stage);
      if (event.event === 'done') return null;
      if (event.event === 'failed') return problemOfJob(event.data);
      if (event.event === 'cancelled') return problem('failed', 'The job was cancelled at the server.');
    }
    if (news.value.events.length === 0 && Date.now() - asked < MIN_POLL_INTERVAL) await sleep(MIN_POLL_INTERVAL);
  }
}

/** Asks again where nothing answered: a network or a server may come back in a moment. */
async function withRetries<Value>(asking: () => Promise<Reply<Value>>, signal: AbortSignal): Promise<Reply<Value>> {
  for (const wait of RETRY_DELAYS) {
    const reply = await asking();
    if (reply.ok || signal.aborted || !['unreachable', 'busy'].includes(reply.problem.code)) return reply;
    await sleep(wait);
  }
  return asking();
}

export function stageOf({ event, data }: JobEvent): PhotoStage | null {
  if (event === 'queued') return { at: 'queued', position: v.is(count, data['position']) ? data['position'] : 0 };
  if (event === 'started') return { at: 'running', step: 0, steps: null };
  if (event === 'step' && v.is(count, data['step']) && v.is(count, data['steps'])) {
    return { at: 'running', step: data['step'], steps: data['steps'] };
  }
  return null;
}

function problemOfJob(data: Record<string, unknown>): Problem {
  const found = problemFromResponse(v.is(count, data['status']) ? data['status'] : 500, data);
  return found.code === 'refused' || found.code === 'busy' ? found : { ...found, code: 'failed' };
}
