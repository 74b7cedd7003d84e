// The server's public API, as any other client sees it: requests with the token, problems, events of a job.

import { pause } from "./dom.js";

/** The server said no. `detail` says what to do. */
export class Problem extends Error {
  constructor({ type = "", title = "", detail = "", status = 0, retryAfter = null }) {
    super(detail || title);
    Object.assign(this, { type, title, status, retryAfter });
  }
}

/** The server did not answer. */
export class Gone extends Error {
  constructor() {
    super("the server does not answer");
  }
}

/** Tells "gone", "back" and "unpaired" (detail: why). */
export const server = new EventTarget();

const KEY = "anti-i2v-token";

/** A token from pairing stays in this browser (localStorage): it can be revoked by its id, opens nothing from any other
 * origin, and without it every new tab would mean a walk to the terminal. The command line's token is none of that, so
 * it lives in its tab alone (sessionStorage). */
export const token = {
  get: () => sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY),
  set(value, { thisTab }) {
    token.forget();
    (thisTab ? sessionStorage : localStorage).setItem(KEY, value);
  },
  forget() {
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
  },
};

let answers = true;

function heard(does) {
  if (does !== answers) {
    answers = does;
    server.dispatchEvent(new Event(does ? "back" : "gone"));
  }
}

/** The reply. Throws Problem, Gone, or an AbortError. */
export async function ask(path, { headers = {}, ...more } = {}) {
  const used = token.get();
  const reply = await reach(path, { ...more, headers: used ? { authorization: `Bearer ${used}`, ...headers } : headers });
  if (reply.ok) return reply;
  const problem = await problemOf(reply);
  // Not where another tab has paired anew in the meantime.
  if (reply.status === 401 && token.get() === used) {
    token.forget();
    server.dispatchEvent(new CustomEvent("unpaired", { detail: problem.message }));
  }
  throw problem;
}

export const askJson = async (path, options) => (await ask(path, options)).json();

async function reach(path, options) {
  try {
    const reply = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options });
    heard(true);
    return reply;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    heard(false);
    throw new Gone();
  }
}

async function problemOf(reply) {
  try {
    return new Problem(await reply.json());
  } catch {
    return new Problem({ title: `the server answered with status ${reply.status}`, status: reply.status });
  }
}

/** Exchanges the one-time code for a token, which is kept. */
export async function pair(code) {
  const reply = await askJson("/v1/pair", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code }),
  });
  token.set(reply.token, { thisTab: false });
}

const ENDED = new Set(["done", "failed", "cancelled"]);
const AGAIN = 1000; // milliseconds, as the server's `retry`
const MISSES = 3;

// Browsers open six connections to a server: streams must leave room for uploads, results and cancelling.
const MOST_STREAMS = 3;
let streams = 0;

/** What happens to a job, as { name, data }, until it has ended. Comes back where a stream was cut; asks now and then
 * where too many streams are open already. Throws Problem, Gone, or an AbortError. */
export async function* follow(id, signal) {
  let last = 0;
  let misses = 0;
  for (;;) {
    try {
      const events = streams < MOST_STREAMS ? stream(id, last, signal) : glance(id, signal);
      for await (const event of events) {
        misses = 0;
        last = event.id ?? last;
        yield event;
        if (ENDED.has(event.name)) return;
      }
    } catch (error) {
      if (signal.aborted || error instanceof Problem) throw error;
      misses += 1; // also a stream that broke
      if (misses > MISSES) throw new Gone();
    }
    await pause(AGAIN, signal);
  }
}

async function* stream(id, last, signal) {
  streams += 1;
  try {
    const headers = { accept: "text/event-stream", "last-event-id": String(last) };
    const reply = await ask(`/v1/jobs/${id}/events`, { headers, signal });
    yield* framesOf(reply.body.pipeThrough(new TextDecoderStream()));
  } finally {
    streams -= 1;
  }
}

async function* framesOf(body) {
  const reader = body.getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value.replaceAll("\r", "");
      const frames = text.split("\n\n");
      text = frames.pop();
      for (const frame of frames) {
        const event = eventOf(frame);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function eventOf(frame) {
  const fields = { data: "" };
  for (const line of frame.split("\n")) {
    const [name, ...rest] = line.split(":");
    const value = rest.join(":").replace(/^ /, "");
    if (name === "data") fields.data += value;
    else if (name) fields[name] = value;
  }
  return fields.event ? { id: Number(fields.id), name: fields.event, data: JSON.parse(fields.data || "{}") } : null;
}

async function* glance(id, signal) {
  const job = await askJson(`/v1/jobs/${id}`, { signal });
  if (job.state === "queued") yield { name: "queued", data: { position: job.position } };
  else if (job.state === "failed") yield { name: "failed", data: job.problem };
  else if (job.state !== "running") yield { name: job.state, data: {} };
  else if (job.steps) yield { name: "step", data: { step: job.step, steps: job.steps } };
  else yield { name: "started", data: { attempt: job.attempts } };
}
