/**
 * Client of the server's API. Every function returns in limited time or throws a ProblemError.
 *
 * Requests go to the paired server only, without cookies, referrer or cache, and follow no redirects.
 */
import * as v from 'valibot';
import { JOB_ID, type Choices, type JobEvent } from '../messages';
import { problemError, ProblemError, problemFromResponse } from '../problems';
import type { Receipt } from '../receipt';
import { photoMediaType } from '../sniff-photo';
import { count, finite, recordOf, text } from '../validators';
import { isFinal, JobEventParser } from './server-sent-events';

/** `token` is "" before pairing. */
export interface Server {
  address: string;
  token: string;
}

interface JobOptions {
  recipe: string;
  preset: string | null;
  deadline: number | null;
}

/** Milliseconds for a response. The server allows a minute for the upload of a photo. */
const QUICK_TIMEOUT = 5_000;
const USUAL_TIMEOUT = 15_000;
const PHOTO_TIMEOUT = 90_000;

/** Milliseconds to wait for the first event of a job, and for further ones right after it. */
const EVENTS_TIMEOUT = 8_000;
const EVENTS_BATCH_WINDOW = 100;

const NO_ANSWER = 'The server cannot be reached. Check that `anti-i2v serve` is running and that the address is right.';
const TIMED_OUT = 'The server did not answer in time.';
const NOT_OUR_SERVER = 'The address does not belong to an Anti-I2V server of a matching version.';

export async function pair(address: string, code: string): Promise<string> {
  const body = JSON.stringify({ code });
  const headers = { 'content-type': 'application/json' };
  const answer = await call({ address, token: '' }, 'POST', '/v1/pair', QUICK_TIMEOUT, { body, headers });
  return (await readJson(answer, v.object({ token: v.pipe(text(1000), v.regex(/^[\x21-\x7e]{20,}$/)) }))).token;
}

/** Returns the execution providers of its workers. */
export async function ready(server: Server): Promise<string> {
  const workers = v.pipe(v.array(v.object({ provider: v.nullable(text(200)) })), v.maxLength(1000));
  const found = await readJson(await call(server, 'GET', '/ready', QUICK_TIMEOUT), v.object({ workers }));
  return [...new Set(found.workers.map((worker) => worker.provider ?? ''))].filter((name) => name !== '').join(', ');
}

export async function choices(server: Server): Promise<Choices> {
  const recipe = v.object({
    name: text(100),
    summary: text(1000),
    budget: finite,
    steps: finite,
    deadline: v.nullable(finite),
  });
  const preset = v.object({ name: text(100), label: text(200) });
  const [recipes, presets] = await Promise.all([
    call(server, 'GET', '/v1/recipes', USUAL_TIMEOUT).then((answer) =>
      readJson(answer, v.pipe(v.array(recipe), v.maxLength(1000))),
    ),
    call(server, 'GET', '/v1/presets', USUAL_TIMEOUT).then((answer) =>
      readJson(answer, v.pipe(v.array(preset), v.maxLength(1000))),
    ),
  ]);
  return { recipes, presets: presets.map(({ name, label }) => ({ name, label })) };
}

/** Queues a photo, once per key. Returns the job's id. */
export async function submit(server: Server, photo: Blob, key: string, options: JobOptions): Promise<string> {
  const query = new URLSearchParams({ recipe: options.recipe });
  if (options.preset !== null) query.set('preset', options.preset);
  if (options.deadline !== null) query.set('deadline', String(options.deadline));
  const type = photoMediaType(new Uint8Array(await photo.slice(0, 12).arrayBuffer()));
  const more = { body: photo, headers: { 'content-type': type, 'idempotency-key': key } };
  return (
    await readJson(
      await call(server, 'POST', `/v1/jobs?${query}`, PHOTO_TIMEOUT, more),
      v.object({ id: v.pipe(v.string(), v.regex(JOB_ID)) }),
    )
  ).id;
}

/** Returns events after number `after` as soon as there are any, or [] if none came in time. */
export async function follow(server: Server, job: string, after: number): Promise<JobEvent[]> {
  const found: JobEvent[] = [];
  const stop = new AbortController();
  let answered = false;
  let timer = setTimeout(() => stop.abort(), EVENTS_TIMEOUT);
  try {
    const headers = { accept: 'text/event-stream', 'last-event-id': String(after) };
    const answer = await call(server, 'GET', `${jobPath(job)}/events`, EVENTS_TIMEOUT + USUAL_TIMEOUT, {
      headers,
      signal: stop.signal,
    });
    answered = true;
    const events = new JobEventParser();
    const letters = new TextDecoder();
    for await (const chunk of chunks(answer)) {
      const first = found.length === 0;
      found.push(...events.push(letters.decode(chunk, { stream: true })));
      if (found.some(isFinal)) break;
      if (first && found.length > 0) {
        clearTimeout(timer);
        timer = setTimeout(() => stop.abort(), EVENTS_BATCH_WINDOW);
      }
    }
  } catch (error) {
    const quiet = answered && stop.signal.aborted; // connected, but no events
    if (!quiet && found.length === 0) throw error instanceof ProblemError ? error : networkError(error);
  } finally {
    clearTimeout(timer);
    stop.abort(); // closes the connection
  }
  return found;
}

export async function result(server: Server, job: string): Promise<{ file: Blob; receipt: Receipt }> {
  const [file, receipt] = await Promise.all([
    call(server, 'GET', `${jobPath(job)}/result`, PHOTO_TIMEOUT).then(readBlob),
    call(server, 'GET', `${jobPath(job)}/receipt`, USUAL_TIMEOUT).then((answer) => readJson(answer, receiptSchema)),
  ]);
  if (!file.type.startsWith('image/') || file.size === 0) throw problemError('failed', NOT_OUR_SERVER);
  return { file, receipt };
}

/** Stops a job or drops its result. Succeeds if the job is gone. */
export async function cancel(server: Server, job: string): Promise<void> {
  await call(server, 'DELETE', jobPath(job), QUICK_TIMEOUT).catch((error: unknown) => {
    if (!(error instanceof ProblemError && error.problem.code === 'gone')) throw error;
  });
}

/** Fields that a receipt needs to be displayed. Servers of other versions may send more or lack the rest. */
const requiredOfReceipt = v.object({
  recipe: v.nullable(text(100)),
  preset: v.nullable(text(100)),
  budgetSpent: finite,
  steps: count,
  stepsAsked: count,
  stopped: text(200),
  imperceptibility: v.object({
    psnr: v.nullable(finite),
    ssim: finite,
    de2000Mean: finite,
    de2000P95: finite,
    relief: v.nullable(finite),
  }),
  effects: v.pipe(v.array(recordOf()), v.maxLength(100)),
  survival: v.pipe(v.array(recordOf()), v.maxLength(1000)),
  notes: v.pipe(v.array(text(2000)), v.maxLength(100)),
  seconds: recordOf(),
});
const receiptSchema = v.custom<Receipt>((value) => v.is(requiredOfReceipt, value));

const jobPath = (job: string): string => `/v1/jobs/${encodeURIComponent(job)}`;

interface CallOptions {
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

async function call(
  server: Server,
  method: string,
  at: string,
  milliseconds: number,
  more: CallOptions = {},
): Promise<Response> {
  let answer: Response;
  const timeout = AbortSignal.timeout(milliseconds);
  try {
    answer = await fetch(server.address + at, {
      method,
      body: more.body ?? null,
      headers: { ...more.headers, ...(server.token === '' ? {} : { authorization: `Bearer ${server.token}` }) },
      signal: more.signal === undefined ? timeout : AbortSignal.any([timeout, more.signal]),
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
      cache: 'no-store',
      redirect: 'error',
    });
  } catch (error) {
    throw networkError(error);
  }
  if (!answer.ok)
    throw new ProblemError(problemFromResponse(answer.status, await errorBody(answer), retryAfterOf(answer)));
  return answer;
}

function networkError(error: unknown): ProblemError {
  const slow = error instanceof DOMException && (error.name === 'TimeoutError' || error.name === 'AbortError');
  return problemError('unreachable', slow ? TIMED_OUT : NO_ANSWER);
}

async function errorBody(answer: Response): Promise<unknown> {
  try {
    return await answer.json();
  } catch {
    return null;
  }
}

function retryAfterOf(answer: Response): number | undefined {
  const seconds = Number(answer.headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
}

async function readJson<Value>(answer: Response, schema: v.GenericSchema<Value>): Promise<Value> {
  let value: unknown;
  try {
    value = JSON.parse(await answer.text());
  } catch (error) {
    if (error instanceof SyntaxError) throw problemError('unreachable', NOT_OUR_SERVER);
    throw networkError(error);
  }
  if (!v.is(schema, value)) throw problemError('unreachable', NOT_OUR_SERVER);
  return value;
}

async function readBlob(answer: Response): Promise<Blob> {
  try {
    return await answer.blob();
  } catch (error) {
    throw networkError(error);
  }
}

/** Chunks of the body. Not every browser can iterate a ReadableStream. */
async function* chunks(answer: Response): AsyncGenerator<Uint8Array> {
  const reader = answer.body?.getReader();
  for (let next = await reader?.read(); next !== undefined && !next.done; next = await reader?.read()) {
    yield next.value;
  }
}
