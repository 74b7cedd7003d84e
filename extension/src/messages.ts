/**
 * Every message between the parts of the extension: one schema each, from which its type is inferred.
 *
 * Three parties:
 * - The PAGE engine (MAIN world, one per frame) holds what a site would have received.
 * - The BRIDGE (ISOLATED world, one per frame) keeps a photo while it is protected, and shows the overlay.
 * - The BACKGROUND (service worker) is the only one that talks to the server.
 *
 * The MAIN world belongs to the site: messages from it are checked, and it receives nothing but verdicts on photos that
 * it held itself.
 */
import * as v from 'valibot';
import type { Receipt } from './receipt';
import type { OtherImagePolicy, Settings } from './settings';
import { UPLOAD_SURFACES } from './upload-surfaces';
import { blob, count, finite, recordOf, text } from './validators';

const surface = v.picklist(UPLOAD_SURFACES);

/**
 * 'vector', 'animation': sent unchanged. 'posted-without': a native form was submitted without the photo. 'handle': a
 * photo's file handle was not passed to a worker.
 */
const notice = v.picklist(['vector', 'animation', 'posted-without', 'handle']);
export type Notice = v.InferOutput<typeof notice>;

// ---------------------------------------------------------------- PAGE <-> BRIDGE (a MessagePort, see handshake.ts)

const frameId = text(200);
const fileName = text(4096);
const MAX_ITEMS = 2000;

/** `id` is unique in the frame. `name` is "" for a request body or a clipboard item. */
const heldPhoto = v.object({ id: frameId, name: fileName, file: blob });
export type HeldPhoto = v.InferOutput<typeof heldPhoto>;

/** The photos of one user action (one pick, drop or paste). One verdict covers all of them. */
const hold = v.object({ id: frameId, surface, photos: v.pipe(v.array(heldPhoto), v.maxLength(MAX_ITEMS)) });
export type Hold = v.InferOutput<typeof hold>;

export const pageToBridgeSchema = v.variant('kind', [
  v.object({ kind: v.literal('hold'), hold }),
  // The site no longer waits: its element is gone, or the user picked again. Stops the jobs.
  v.object({ kind: v.literal('drop'), hold: frameId }),
  // For the user: what was sent unprotected and why, or what a form lacks.
  v.object({
    kind: v.literal('notice'),
    notice,
    names: v.pipe(v.array(fileName), v.maxLength(MAX_ITEMS)),
  }),
]);
export type PageToBridge = v.InferOutput<typeof pageToBridgeSchema>;

/** `original`: the user asked for it, or protection is off on this site. */
export type Verdict = { kind: 'protected'; file: Blob } | { kind: 'original' } | { kind: 'nothing' };

export type BridgeToPage =
  | { kind: 'state'; state: PageState }
  /** Verdicts by photo id, one for every photo of the hold. */
  | { kind: 'verdict'; hold: string; verdicts: Record<string, Verdict> };

/** Until the first state arrives, the page engine holds photos: it fails closed. */
export interface PageState {
  enabled: boolean;
  /** Whether replayed events report `isTrusted`, for pages that test it. */
  trusted: boolean;
  others: OtherImagePolicy;
}

/** `site` (see sites.ts) is that of the top frame, so it is not passed on to the page engine of a frame. */
export interface BridgeState extends PageState {
  site: string;
}

// ---------------------------------------------------------------- parts of requests

export const JOB_ID = /^[\w-]{1,200}$/;
const job = v.pipe(text(200), v.regex(JOB_ID));
/** Identifies one submission, so that it can be sent again when the answer was lost. */
const idempotencyKey = v.pipe(text(100), v.regex(/^[\w-]{16,100}$/));

/** Bytes of a photo: a Blob where the browser can clone one into a message, else base64. */
export const blobPayload = v.union([blob, v.object({ base64: text(2 ** 26), type: text(100) })]);
export type BlobPayload = v.InferOutput<typeof blobPayload>;

/** `detail` is a sentence for the user: the server's own where it gave one. */
const problem = v.object({
  code: v.picklist([
    'unpaired', // no token yet
    'unreachable', // no answer at the address
    'unauthorised', // the token is not valid, or no longer
    'busy', // 503: queue full or models not loaded; `retryAfter` in seconds
    'too-large', // 413, or larger than the browser's message limit
    'refused', // 4xx: this file or these options
    'failed', // the job failed at the server
    'gone', // the server does not know the job: it restarted, or the result expired
    'reload', // the extension was updated: the page must be reloaded
    'internal',
  ]),
  detail: text(4000),
  retryAfter: v.optional(finite),
});
export type Problem = v.InferOutput<typeof problem>;

/** A thumbnail or preview as data: URL, or "". Nothing that a browser would fetch or run. */
const picture = v.pipe(text(4_000_000), v.regex(/^(data:image\/(png|jpeg|webp);base64,[\w+/=]*)?$/));

const photoStage = v.variant('at', [
  v.object({ at: v.literal('sending') }),
  v.object({ at: v.literal('queued'), position: count }),
  // `steps` null: no counted steps.
  v.object({ at: v.literal('running'), step: count, steps: v.nullable(count) }),
  v.object({ at: v.literal('fetching') }),
  // `before`, `after`: at most 1024 px.
  v.object({ at: v.literal('done'), receipt: recordOf<Receipt>(), before: picture, after: picture }),
  v.object({ at: v.literal('failed'), problem }),
  // The user's decision, carried out.
  v.object({ at: v.literal('withheld') }),
  v.object({ at: v.literal('original') }),
]);
export type PhotoStage = v.InferOutput<typeof photoStage>;

const tabHoldId = text(300);

const photoView = v.object({
  id: text(300),
  name: fileName,
  bytes: count,
  /** "" where the browser cannot draw the format. */
  thumbnail: picture,
  stage: photoStage,
  /** Milliseconds since the epoch. */
  since: finite,
  /** Seconds that the server has for the photo; null: the recipe's own limit. */
  deadline: v.nullable(finite),
});
export type PhotoView = v.InferOutput<typeof photoView>;

/** One hold as the overlay draws it. */
const holdView = v.object({
  hold: tabHoldId,
  surface,
  site: text(300),
  photos: v.pipe(v.array(photoView), v.maxLength(MAX_ITEMS)),
  notice: v.optional(notice),
  /** The site still waits for the verdict. */
  holding: v.boolean(),
});
export type HoldView = v.InferOutput<typeof holdView>;

/** `photo` null: every undecided photo of the hold. */
const decision = v.object({
  hold: tabHoldId,
  photo: v.nullable(text(300)),
  choice: v.picklist(['retry', 'nothing', 'original']),
});
export type Decision = v.InferOutput<typeof decision>;

/** `checks`: "12 of 14 checks", from the receipt, or "". */
const photoOutcome = v.object({
  surface,
  name: fileName,
  outcome: v.picklist(['protected', 'withheld', 'original']),
  checks: text(100),
});
export type PhotoOutcome = v.InferOutput<typeof photoOutcome>;

/** An outcome, with the time and the site that the background adds. */
export const uploadRecord = v.object({ ...photoOutcome.entries, when: finite, site: text(300) });
export type UploadRecord = v.InferOutput<typeof uploadRecord>;

// ---------------------------------------------------------------- BRIDGE, POPUP, OPTIONS, WELCOME -> BACKGROUND

/** Body of each request, by its name. Send one with `sendRequest`. */
export const REQUEST_SCHEMAS = {
  /** How the sender's tab is treated. `fresh`: a new document, so jobs of the previous one are cancelled. */
  state: v.object({ fresh: v.optional(v.boolean()) }),
  /** Whether a Blob arrives as a Blob; if not, bytes travel as base64 in both directions. */
  clones: v.object({ probe: v.optional(v.unknown()) }),
  /** Protect a photo, with the preset of the tab's site. Repeatable: one key is one job. */
  submit: v.object({ photo: blobPayload, key: idempotencyKey }),
  /** Events of a job after number `after`. Waits a few seconds for some, then answers []. */
  follow: v.object({ job, after: count }),
  /** The protected photo of a finished job, and its receipt. Repeatable. */
  result: v.object({ job, base64: v.optional(v.boolean()) }),
  /** Stop a job, or let the server drop its result. Never fails. */
  cancel: v.object({ job }),
  /** State of a hold, for the overlay of the tab's top frame; `view` null when the hold is over. */
  show: v.object({ view: v.nullable(holdView), hold: tabHoldId }),
  /** Outcome of the photos of a hold, for the popup's list and the leak alarm. */
  settled: v.object({ photos: v.pipe(v.array(photoOutcome), v.maxLength(MAX_ITEMS)) }),
  /** The user's decision in the top frame, for the frame that holds. */
  decide: v.object({ decision, frame: count }),

  overview: v.object({ tab: count, url: text(100_000) }),
  settings: recordOf<object>(),
  /** Replaces the settings that are named. settings.ts checks each value. */
  change: recordOf<Partial<Settings>>(),
  /** null: forget the token. */
  pair: v.nullable(v.object({ address: text(300), code: text(100) })),
  server: recordOf<object>(),
  /** Recipes and presets of the paired server. */
  choices: recordOf<object>(),
  /** The image chosen in the context menu; `key` is the hash of save.html. Repeatable. */
  saveSource: v.object({ key: text(100), base64: v.optional(v.boolean()) }),
};

export type RequestName = keyof typeof REQUEST_SCHEMAS;
export type RequestBody<Name extends RequestName> = v.InferInput<(typeof REQUEST_SCHEMAS)[Name]>;

/** Value of the reply to each request. */
export interface Replies {
  state: BridgeState;
  clones: { clones: boolean };
  submit: { job: string; deadline: number | null };
  follow: { events: JobEvent[] };
  result: { file: BlobPayload; receipt: Receipt };
  cancel: null;
  show: null;
  settled: null;
  decide: null;
  overview: Overview;
  settings: Settings;
  change: Settings;
  pair: ServerState;
  server: ServerState;
  choices: Choices;
  saveSource: { file: BlobPayload; name: string };
}

/** No exception crosses between the parts: a failure is a Problem. */
export type Reply<Value> = { ok: true; value: Value } | { ok: false; problem: Problem };

export const JOB_EVENTS = ['queued', 'started', 'step', 'effect', 'done', 'failed', 'cancelled'] as const;

/** An event of the server's job stream. */
export interface JobEvent {
  id: number;
  event: (typeof JOB_EVENTS)[number];
  data: Record<string, unknown>;
}

export interface ServerState {
  address: string;
  paired: boolean;
  /** Problem of the last reply; null if there was none. */
  problem: Problem | null;
  /** Execution providers of its workers; "" unless ready. */
  provider: string;
}

export interface Overview {
  site: string;
  enabled: boolean;
  enabledHere: boolean;
  /** False in a tab that was open before the installation, or where browsers allow no script. */
  reachable: boolean;
  server: ServerState;
  uploads: UploadRecord[];
  /** Requests of this tab that carried a photo past every hold, as far as the browser shows them. */
  leaks: number;
}

export interface Choices {
  recipes: { name: string; summary: string; budget: number; steps: number; deadline: number | null }[];
  presets: { name: string; label: string }[];
}

// ---------------------------------------------------------------- BACKGROUND -> BRIDGE (tabs.sendMessage)

export type BackgroundToBridge =
  | { kind: 'state'; state: BridgeState }
  /** To the top frame: a hold of any frame of the tab. Decisions go back to `frame`. */
  | { kind: 'show'; frame: number; hold: string; view: HoldView | null }
  /** To the frame that holds. */
  | { kind: 'decide'; decision: Decision }
  /** Read a blob: URL that only this frame can read. Answered with Reply<BlobPayload>. */
  | { kind: 'bytes'; url: string; base64: boolean }
  /** Answered with true. */
  | { kind: 'ping' };
