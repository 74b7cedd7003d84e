/**
 * The API of the server, as far as it is used here. Every function answers, or throws a Refusal; none waits for ever.
 *
 * Nothing but the paired server is ever asked: no cookies, no referrer, no cache, no redirect to elsewhere.
 */
import type { Choices, JobEvent } from '../messages';
import { problemOf, refuse, Refusal } from '../problems';
import type { Receipt } from '../receipt';
import { count, list, number, object, only, or, record, text, type Shape } from '../shape';
import { ends, EventReader } from './events';
import { mediaType } from './media';

/** Where it is, and the token that it gave; "" before. */
export interface Server {
  address: string;
  token: string;
}

export interface Wishes {
  recipe: string;
  preset: string | null;
  deadline: number | null;
}

/** Milliseconds for an answer. A photo may have to cross a slow network; the server allows it a minute. */
const QUICK = 5_000;
const USUAL = 15_000;
const PHOTO = 90_000;

/** Milliseconds to wait for news of a job, and then for what comes right behind the first. */
const NEWS = 8_000;
const MORE_NEWS = 100;

/** What names one submission, so that it can be sent again when the answer was lost. */
export const KEY = /^[\w-]{16,100}$/;
export const JOB = /^[\w-]{1,200}$/;

const SILENT = 'The server cannot be reached: is `anti-i2v serve` running, and is the address right?';
const SLOW = 'The server did not answer in time.';
const STRANGE = 'What answers there is no Anti-I2V server, or of another version.';

export async function pair(address: string, code: string): Promise<string> {
  const body = JSON.stringify({ code });
  const headers = { 'content-type': 'application/json' };
  const answer = await call({ address, token: '' }, 'POST', '/v1/pair', QUICK, { body, headers });
  return (await json(answer, object({ token: text(1000, /^[\x21-\x7e]{20,}$/) }))).token;
}

/** What its workers run on. */
export async function ready(server: Server): Promise<string> {
  const workers = list(object({ provider: or(text(200), only(null)) }), 1000);
  const found = await json(await call(server, 'GET', '/ready', QUICK), object({ workers }));
  return [...new Set(found.workers.map((worker) => worker.provider ?? ''))].filter((name) => name !== '').join(', ');
}

export async function choices(server: Server): Promise<Choices> {
  const recipe = object({
    name: text(100),
    summary: text(1000),
    budget: number,
    steps: number,
    deadline: or(number, only(null)),
  });
  const [recipes, presets] = await Promise.all([
    call(server, 'GET', '/v1/recipes', USUAL).then((answer) => json(answer, list(recipe, 1000))),
    call(server, 'GET', '/v1/presets', USUAL).then((answer) =>
      json(answer, list(object({ name: text(100), label: text(200) }), 1000)),
    ),
  ]);
  return { recipes, presets: presets.map(({ name, label }) => ({ name, label })) };
}

/** Puts a photo in the queue, once for each key: the job's id. */
export async function submit(server: Server, photo: Blob, key: string, wishes: Wishes): Promise<string> {
  const query = new URLSearchParams({ recipe: wishes.recipe });
  if (wishes.preset !== null) query.set('preset', wishes.preset);
  if (wishes.deadline !== null) query.set('deadline', String(wishes.deadline));
  const type = mediaType(new Uint8Array(await photo.slice(0, 12).arrayBuffer()));
  const more = { body: photo, headers: { 'content-type': type, 'idempotency-key': key } };
  return (await json(await call(server, 'POST', `/v1/jobs?${query}`, PHOTO, more), object({ id: text(200, JOB) }))).id;
}

/** Events after number `after`, as soon as there are any; [] when none came in time. */
export async function follow(server: Server, job: string, after: number): Promise<JobEvent[]> {
  const found: JobEvent[] = [];
  const stop = new AbortController();
  let answered = false;
  let timer = setTimeout(() => stop.abort(), NEWS);
  try {
    const headers = { accept: 'text/event-stream', 'last-event-id': String(after) };
    const answer = await call(server, 'GET', `${path(job)}/events`, NEWS + USUAL, { headers, signal: stop.signal });
    answered = true;
    const events = new EventReader();
    const letters = new TextDecoder();
    for await (const chunk of chunks(answer)) {
      const first = found.length === 0;
      found.push(...events.push(letters.decode(chunk, { stream: true })));
      if (found.some(ends)) break;
      if (first && found.length > 0) {
        clearTimeout(timer);
        timer = setTimeout(() => stop.abort(), MORE_NEWS);
      }
    }
  } catch (error) {
    const quiet = answered && stop.signal.aborted; // it spoke to us, and had nothing to tell
    if (!quiet && found.length === 0) throw error instanceof Refusal ? error : refusalOf(error);
  } finally {
    clearTimeout(timer);
    stop.abort(); // lets go of the connection
  }
  return found;
}

export async function result(server: Server, job: string): Promise<{ file: Blob; receipt: Receipt }> {
  const [file, receipt] = await Promise.all([
    call(server, 'GET', `${path(job)}/result`, PHOTO).then(blobOf),
    call(server, 'GET', `${path(job)}/receipt`, USUAL).then((answer) => json(answer, isReceipt)),
  ]);
  if (!file.type.startsWith('image/') || file.size === 0) throw refuse('failed', STRANGE);
  return { file, receipt };
}

/** Stops a job, or drops its result. A job that is gone is as good. */
export async function cancel(server: Server, job: string): Promise<void> {
  await call(server, 'DELETE', path(job), QUICK).catch((error: unknown) => {
    if (!(error instanceof Refusal && error.problem.code === 'gone')) throw error;
  });
}

const isReceipt: Shape<Receipt> = object({
  recipe: or(text(100), only(null)),
  preset: or(text(100), only(null)),
  budgetSpent: number,
  steps: count,
  stepsAsked: count,
  stopped: text(200),
  imperceptibility: object({
    psnr: or(number, only(null)),
    ssim: number,
    de2000Mean: number,
    de2000P95: number,
    relief: or(number, only(null)),
  }),
  effects: list(record, 100),
  survival: list(record, 1000),
  notes: list(text(2000), 100),
  seconds: record,
}) as Shape<unknown> as Shape<Receipt>;

const path = (job: string): string => `/v1/jobs/${encodeURIComponent(job)}`;

interface More {
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

async function call(server: Server, method: string, at: string, wait: number, more: More = {}): Promise<Response> {
  let answer: Response;
  const patience = AbortSignal.timeout(wait);
  try {
    answer = await fetch(server.address + at, {
      method,
      body: more.body ?? null,
      headers: { ...more.headers, ...(server.token === '' ? {} : { authorization: `Bearer ${server.token}` }) },
      signal: more.signal === undefined ? patience : AbortSignal.any([patience, more.signal]),
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
      cache: 'no-store',
      redirect: 'error',
    });
  } catch (error) {
    throw refusalOf(error);
  }
  if (!answer.ok) throw new Refusal(problemOf(answer.status, await told(answer), waitOf(answer)));
  return answer;
}

function refusalOf(error: unknown): Refusal {
  const slow = error instanceof DOMException && (error.name === 'TimeoutError' || error.name === 'AbortError');
  return refuse('unreachable', slow ? SLOW : SILENT);
}

async function told(answer: Response): Promise<unknown> {
  try {
    return await answer.json();
  } catch {
    return null;
  }
}

function waitOf(answer: Response): number | undefined {
  const seconds = Number(answer.headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
}

async function json<Value>(answer: Response, shape: Shape<Value>): Promise<Value> {
  let value: unknown;
  try {
    value = JSON.parse(await answer.text());
  } catch (error) {
    if (error instanceof SyntaxError) throw refuse('unreachable', STRANGE);
    throw refusalOf(error);
  }
  if (!shape(value)) throw refuse('unreachable', STRANGE);
  return value;
}

async function blobOf(answer: Response): Promise<Blob> {
  try {
    return await answer.blob();
  } catch (error) {
    throw refusalOf(error);
  }
}

/** Not every browser iterates a ReadableStream. */
async function* chunks(answer: Response): AsyncGenerator<Uint8Array> {
  const reader = answer.body?.getReader();
  for (let next = await reader?.read(); next !== undefined && !next.done; next = await reader?.read()) {
    yield next.value;
  }
}
