// The server's HTTP API: requests with the token, problems, events of a job.

import { pause } from "./dom.js";

/** The server refused a request. The message is the problem's `detail`. */
export class Problem extends Error {
  constructor({ type = "", title = "", detail = "", status = 0, retryAfter = null }) {
    super(detail || title);
    Object.assign(this, { type, title, status, retryAfter });
  }
}

/** The server did not answer. */
export class Unreachable extends Error {
  constructor() {
    super("the server does not answer");
  }
}

/** Dispatches "unreachable", "reachable" and "unpaired" (detail: the reason). */
export const server = new EventTarget();

const KEY = "anti-i2v-token";

/** The token of this browser. One from pairing stays in localStorage: it can be revoked by its id and is valid only from
 * this origin. The command line's token is neither, so it stays in its tab (sessionStorage). */
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

let reachable = true;

function setReachable(value) {
  if (value !== reachable) {
    reachable = value;
    server.dispatchEvent(new Event(value ? "reachable" : "unreachable"));
  }
}

/** Returns the response. Throws Problem, Unreachable, or an AbortError. */
export async function request(path, { headers = {}, ...options } = {}) {
  const used = token.get();
  const response = await send(path, { ...options, headers: used ? { authorization: `Bearer ${used}`, ...headers } : headers });
  if (response.ok) return response;
  const problem = await problemOf(response);
  // Another tab may have paired again in the meantime.
  if (response.status === 401 && token.get() === used) {
    token.forget();
    server.dispatchEvent(new CustomEvent("unpaired", { detail: problem.message }));
  }
  throw problem;
}

export const requestJson = async (path, options) => (await request(path, options)).json();

async function send(path, options) {
  try {
    const response = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options });
    setReachable(true);
    return response;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    setReachable(false);
    throw new Unreachable();
  }
}

async function problemOf(response) {
  try {
    return new Problem(await response.json());
  } catch {
    return new Problem({ title: `the server answered with status ${response.status}`, status: response.status });
  }
}

/** Exchanges the one-time code for a token, and keeps it. */
export async function pair(code) {
  const reply = await requestJson("/v1/pair", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code }),
  });
  token.set(reply.token, { thisTab: false });
}

const ENDED = new Set(["done", "failed", "cancelled"]);
const RETRY_MS = 1000; // the server's `retry`
const MAX_FAILURES = 3;

// Browsers open six connections to a server. Streams must leave some for uploads, results and cancelling.
const MAX_STREAMS = 3;
let streams = 0;

/** Yields the events of a job, { name, data }, until it has ended. Resumes streams that were cut, and polls while too
 * many streams are open. Throws Problem, Unreachable, or an AbortError. */
export async function* followJob(id, signal) {
  let last = 0;
  let failures = 0;
  for (;;) {
    try {
      const events = streams < MAX_STREAMS ? stream(id, last, signal) : poll(id, signal);
      for await (const event of events) {
        failures = 0;
        last = event.id ?? last;
        yield event;
        if (ENDED.has(event.name)) return;
      }
    } catch (error) {
      if (signal.aborted || error instanceof Problem) throw error;
      failures += 1;
      if (failures > MAX_FAILURES) throw new Unreachable();
    }
    await pause(RETRY_MS, signal);
  }
}

async function* stream(id, last, signal) {
  streams += 1;
  try {
    const headers = { accept: "text/event-stream", "last-event-id": String(last) };
    const response = await request(`/v1/jobs/${id}/events`, { headers, signal });
    yield* eventsOf(response.body.pipeThrough(new TextDecoderStream()));
  } finally {
    streams -= 1;
  }
}

// EventSource cannot send the token's header.
async function* eventsOf(body) {
  const reader = body.getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value.replaceAll("\r", "");
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parseEvent(block) {
  const fields = { data: "" };
  for (const line of block.split("\n")) {
    const [name, ...rest] = line.split(":");
    const value = rest.join(":").replace(/^ /, "");
    if (name === "data") fields.data += value;
    else if (name) fields[name] = value;
  }
  return fields.event ? { id: Number(fields.id), name: fields.event, data: JSON.parse(fields.data || "{}") } : null;
}

async function* poll(id, signal) {
  const job = await requestJson(`/v1/jobs/${id}`, { signal });
  if (job.state === "queued") yield { name: "queued", data: { position: job.position } };
  else if (job.state === "failed") yield { name: "failed", data: job.problem };
  else if (job.state !== "running") yield { name: job.state, data: {} };
  else if (job.steps) yield { name: "step", data: { step: job.step, steps: job.steps } };
  else yield { name: "started", data: { attempt: job.attempts } };
}
