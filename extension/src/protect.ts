/**
 * Protects one photo: submits it, follows the job, fetches the result. Used by the bridge and by pages of the
 * extension.
 *
 * Survives an evicted background and a restarted server by retrying.
 */
import * as v from 'valibot';
import { packBlob, supportsBlobMessages, unpackBlob } from './blob-transfer';
import type { JobEvent, PhotoStage, Problem, Reply } from './messages';
import { fail, problem, problemFromResponse, TOO_LARGE } from './problems';
import { readBytes } from './read-bytes';
import type { Receipt } from './receipt';
import { sendRequest } from './send-request';
import { sleep } from './sleep';
import { SNIFF_BYTES, sniffImage } from './sniff-photo';
import { count } from './validators';

export interface Protected {
  file: Blob;
  receipt: Receipt;
}

/** `deadline`: seconds that the server was given; null: the recipe's own limit. */
export interface ProgressReporter {
  stage(stage: PhotoStage): void;
  deadline(seconds: number | null): void;
}

/** Milliseconds before each retry of a server that did not answer: it may be restarting. */
const RETRY_DELAYS = [1000, 3000, 6000];
/** Milliseconds to wait after an empty answer that came faster than that. */
const MIN_POLL_INTERVAL = 500;

const STOPPED = fail('internal', 'This was stopped.');
const NOT_A_PHOTO = fail(
  'refused',
  'This file is not a JPEG, PNG, WebP, AVIF or HEIC photo, so it cannot be protected.',
);
const UNREADABLE = fail('refused', 'This file cannot be read. It was moved, changed or deleted.');

/** Protects a photo. Never throws. Aborting stops the job at the server; the reply is then meaningless. */
export async function protect(photo: Blob, report: ProgressReporter, signal: AbortSignal): Promise<Reply<Protected>> {
  report.stage({ at: 'sending' });
  const kind = await kindOf(photo);
  if (kind === null) return UNREADABLE;
  if (kind !== 'photo') return NOT_A_PHOTO;
  const found = await runJob(photo, report, signal);
  if (found.ok || found.problem.code !== 'gone' || signal.aborted) return found;
  report.stage({ at: 'sending' });
  return runJob(photo, report, signal); // the server was restarted and lost the job
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
  signal.addEventListener('abort', cancel, { once: true }); // immediately, whatever is pending
  const found = await fetchResult(job, base64, report, signal);
  signal.removeEventListener('abort', cancel);
  if (!signal.aborted) cancel(); // the result is fetched, or never will be
  return found;
}

/** `crypto.randomUUID` is missing on pages without TLS. */
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

/** Waits until the job has ended. Returns null when it is done. */
async function waitForEnd(job: string, report: ProgressReporter, signal: AbortSignal): Promise<Problem | null> {
  for (let after = 0; ;) {
    if (signal.aborted) return STOPPED.problem;
    const startedAt = Date.now();
    const reply = await withRetries(() => sendRequest('follow', { job, after }), signal);
    if (!reply.ok) return reply.problem;
    for (const event of reply.value.events) {
      after = Math.max(after, event.id);
      const stage = stageOf(event);
      if (stage !== null) report.stage(stage);
      if (event.event === 'done') return null;
      if (event.event === 'failed') return problemOfJob(event.data);
      if (event.event === 'cancelled') return problem('failed', 'The job was cancelled at the server.');
    }
    if (reply.value.events.length === 0 && Date.now() - startedAt < MIN_POLL_INTERVAL) await sleep(MIN_POLL_INTERVAL);
  }
}

/** Repeats a request while the server is unreachable or busy. */
async function withRetries<Value>(request: () => Promise<Reply<Value>>, signal: AbortSignal): Promise<Reply<Value>> {
  for (const wait of RETRY_DELAYS) {
    const reply = await request();
    if (reply.ok || signal.aborted || !['unreachable', 'busy'].includes(reply.problem.code)) return reply;
    await sleep(wait);
  }
  return request();
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
