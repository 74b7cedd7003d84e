/**
 * Who tells whom what, all of it: the one table of messages.
 *
 * Three parties: the PAGE engine (MAIN world, one a frame) holds what a site would have received; the BRIDGE (ISOLATED
 * world, one a frame) keeps the photo while it is protected and asks the person; the BACKGROUND (service worker) alone
 * talks to the server. The page's world is the site's own: nothing that comes from it is trusted, and nothing goes to it
 * but a verdict on photos that it brought itself.
 */
import type { Receipt } from './receipt';

/** How a photo was about to reach the site. */
export type UploadSurface = 'input' | 'drop' | 'paste' | 'clipboard' | 'handle' | 'network';

// ---------------------------------------------------------------- PAGE <-> BRIDGE (a MessagePort, see handshake.ts)

/** A photo that is held. `id` is unique in its frame. */
export interface HeldPhoto {
  id: string;
  /** Its name, "" where it has none (a network body, a clipboard item). */
  name: string;
  file: Blob;
}

/** Photos that one act of the person brought: one pick, one drop, one paste. The verdict comes for all at once. */
export interface Hold {
  id: string;
  surface: UploadSurface;
  photos: HeldPhoto[];
}

export type PageToBridge =
  | { kind: 'hold'; hold: Hold }
  /** The site went on without them (the element is gone, the person picked anew): stop, free the server. */
  | { kind: 'drop'; hold: string }
  /** Told to the person: what passed unprotected and why, or what a form will now lack. */
  | { kind: 'notice'; notice: Notice; names: string[] };

/**
 * 'vector', 'animation': passed as they are. 'posted-without': a native form went out lacking the photo. 'handle': a
 * photo's file handle was kept from a worker.
 */
export type Notice = 'vector' | 'animation' | 'posted-without' | 'handle';

/** What becomes of one photo. `original` only where the person asked for it, or where protection is off here. */
export type Verdict = { kind: 'protected'; file: Blob } | { kind: 'original' } | { kind: 'nothing' };

export type BridgeToPage =
  | { kind: 'state'; state: PageState }
  /** By id of the photo; every photo of the hold is in it. */
  | { kind: 'verdict'; hold: string; verdicts: Record<string, Verdict> };

/** Until the first state arrives, a page holds: failing closed is the default. */
export interface PageState {
  enabled: boolean;
  /** Whether replayed events claim to be trusted, for pages that test it. */
  trusted: boolean;
  /** Whether GIF and SVG pass in silence, pass with a notice, or are refused. */
  others: OtherImagePolicy;
}

export type OtherImagePolicy = 'pass' | 'tell' | 'refuse';

/** What a bridge knows of its tab. `site` (see sites.ts) is the top frame's: a framed page must not learn it. */
export interface BridgeState extends PageState {
  site: string;
}

// ---------------------------------------------------------------- BRIDGE, POPUP, OPTIONS, WELCOME -> BACKGROUND

/** Bytes on their way: a Blob where the browser clones it, base64 where it does not. */
export type Payload = Blob | { base64: string; type: string };

/** Name of a request -> what it carries, what it is answered with. Send with `ask` (ask.ts). */
export interface Requests {
  /** How the sender's tab is to be treated. `fresh`: a new document; jobs of the one before it are cancelled. */
  state: { request: { fresh?: boolean }; reply: BridgeState };
  /** Whether a Blob arrives as one; else bytes go as base64 both ways. */
  clones: { request: { probe: unknown }; reply: { clones: boolean } };
  /**
   * Protect a photo: the server's id for it, and the seconds it was given. The preset follows from the tab's site.
   * Asking twice under one key is allowed: it is one job.
   */
  submit: { request: { photo: Payload; key: string }; reply: { job: string; deadline: number | null } };
  /** What happened to a job after event number `after`; waits a few seconds for news, answers [] without. */
  follow: { request: { job: string; after: number }; reply: { events: JobEvent[] } };
  /** The protected photo of a job that is done, and its receipt. Asking twice is allowed. */
  result: { request: { job: string; base64?: boolean }; reply: { file: Payload; receipt: Receipt } };
  /** Stop a job, or let the server forget its result. Never fails: a job that is gone is cancelled. */
  cancel: { request: { job: string }; reply: null };
  /** How one hold stands, for the overlay of the tab's top frame and for the popup; null when it is over. */
  show: { request: { view: HoldView | null; hold: string }; reply: null };
  /** What became of the photos of a hold: for the popup's list, and so that the leak alarm knows them. */
  settled: { request: { photos: PhotoOutcome[] }; reply: null };
  /** What the person decided in the top frame, for the frame that holds. */
  decide: { request: { decision: Decision; frame: number }; reply: null };

  overview: { request: { tab: number; url: string }; reply: Overview };
  settings: { request: object; reply: Settings };
  /** Replaces what is named. */
  change: { request: Partial<Settings>; reply: Settings };
  /** null: the token is forgotten here (and the person told how to revoke it there). */
  pair: { request: { address: string; code: string } | null; reply: ServerState };
  server: { request: object; reply: ServerState };
  /** recipes and presets of the paired server. */
  choices: { request: object; reply: Choices };
  /** The image that the person chose in the context menu; `key` is the hash of save.html. Asking twice is allowed. */
  saveSource: { request: { key: string; base64?: boolean }; reply: { file: Payload; name: string } };
}

export type RequestName = keyof Requests;

/** What `runtime.sendMessage` carries; every answer is a Reply, and no exception crosses. */
export interface Envelope<Name extends RequestName = RequestName> {
  name: Name;
  body: Requests[Name]['request'];
}
export type Reply<Value> = { ok: true; value: Value } | { ok: false; problem: Problem };

/** Every way it can go wrong. `detail` is a sentence for the person: the server's own where it gave one. */
export interface Problem {
  code:
    | 'unpaired' // no token yet
    | 'unreachable' // nothing answers at the address
    | 'unauthorised' // the token is not valid (any more)
    | 'busy' // 503: full, or models not loaded; `retryAfter` seconds
    | 'too-large' // 413, or a message over the browser's limit
    | 'refused' // 4xx: this file, this wish
    | 'failed' // the job failed at the server
    | 'gone' // the server no longer knows the job (restarted, or kept too long)
    | 'reload' // the extension was updated: this page must be reloaded
    | 'internal';
  detail: string;
  retryAfter?: number;
}

/** An event of the server's job stream. */
export interface JobEvent {
  id: number;
  event: 'queued' | 'started' | 'step' | 'effect' | 'done' | 'failed' | 'cancelled';
  data: Record<string, unknown>;
}

// ---------------------------------------------------------------- BACKGROUND -> BRIDGE (tabs.sendMessage, one frame)

export type BackgroundToBridge =
  | { kind: 'state'; state: BridgeState }
  /** To the top frame: a hold of any frame of the tab. `frame` is where decisions go back to. */
  | { kind: 'show'; frame: number; hold: string; view: HoldView | null }
  /** To the frame that holds. */
  | { kind: 'decide'; decision: Decision }
  /** A blob: URL of this frame, as Reply<Payload>: only its own frame can read it. */
  | { kind: 'bytes'; url: string; base64: boolean }
  /** Answered with true. */
  | { kind: 'ping' };

export type PhotoStage =
  | { at: 'sending' }
  | { at: 'queued'; position: number }
  /** step 0 of null: it runs, and takes no counted steps. */
  | { at: 'running'; step: number; steps: number | null }
  | { at: 'fetching' }
  | { at: 'done'; receipt: Receipt; before: string; after: string }
  | { at: 'failed'; problem: Problem }
  /** The person's decision, carried out. */
  | { at: 'withheld' }
  | { at: 'original' };

export interface PhotoView {
  id: string;
  name: string;
  bytes: number;
  /** A small JPEG or PNG as data: URL, "" where the browser cannot draw the format. */
  thumbnail: string;
  stage: PhotoStage;
  /** Milliseconds since the epoch. */
  since: number;
  /** Seconds that the server has for it; null: the recipe's own time. */
  deadline: number | null;
}

/** All of one hold, as the overlay draws it. `before`, `after` of done photos: data: URLs of at most 1024 px. */
export interface HoldView {
  hold: string;
  surface: UploadSurface;
  site: string;
  photos: PhotoView[];
  notice?: Notice;
  /** No verdict was given yet: the site waits. */
  holding: boolean;
}

/** `photo` null: every photo of the hold that is not decided. */
export interface Decision {
  hold: string;
  photo: string | null;
  choice: 'retry' | 'nothing' | 'original';
}

// ---------------------------------------------------------------- what popup and options show

export interface Settings {
  enabled: boolean;
  /** Sites (see sites.ts) where it is off. */
  off: string[];
  /** Sites where replayed events must not claim to be trusted. */
  untrusted: string[];
  recipe: string;
  /** Seconds; null leaves the recipe's own. */
  deadline: number | null;
  others: OtherImagePolicy;
  /** What the person changed of the table in sites.ts: host -> preset, null for the default of all others. */
  presets: Record<string, string | null>;
  /** The preset for sites that the table does not name; null: none. */
  fallback: string | null;
}

export interface ServerState {
  address: string;
  paired: boolean;
  /** Of the last answer; null while everything is well. */
  problem: Problem | null;
  /** What its workers run on, "" unless ready. */
  provider: string;
}

export interface UploadRecord {
  when: number;
  site: string;
  surface: UploadSurface;
  name: string;
  outcome: 'protected' | 'withheld' | 'original';
  /** "12 of 14 checks", from the receipt; "" without one. */
  checks: string;
}

/** An UploadRecord as a bridge tells it: when and where, the background knows itself. */
export type PhotoOutcome = Omit<UploadRecord, 'when' | 'site'>;

export interface Overview {
  site: string;
  enabled: boolean;
  enabledHere: boolean;
  /** The tab was open before the extension came, or browsers allow no script on it. */
  reachable: boolean;
  server: ServerState;
  uploads: UploadRecord[];
  /** Requests of this tab that carried a photo which passed no hold, as far as browsers tell: the leak alarm. */
  leaks: number;
}

export interface Choices {
  recipes: { name: string; summary: string; budget: number; steps: number; deadline: number | null }[];
  presets: { name: string; label: string }[];
}
