/** Request router: checks who sends a request and what is in it, and calls its handler. */
import * as v from 'valibot';
import { browser, type Browser } from 'wxt/browser';
import { packBlob, unpackBlob } from '../blob-transfer';
import {
  REQUEST_SCHEMAS,
  type BlobPayload,
  type Replies,
  type Reply,
  type RequestBody,
  type RequestName,
} from '../messages';
import { fail, ok, problemError, ProblemError, TOO_LARGE } from '../problems';
import { parseChanges, parseSettings, readSettings, SETTINGS_KEY, type Settings } from '../settings';
import { isListed, siteOf } from '../sites';
import { blob, isRecord } from '../validators';
import { refreshBadge } from './badge';
import * as jobs from './jobs';
import { choices, pair, serverState } from './pairing';
import { loadSource } from './protect-and-save';
import { isReachable, sendToTab, stateOf } from './tabs';
import * as uploads from './upload-history';

/** Sender of a request, as the browser reports it. */
interface Sender extends jobs.JobOwner {
  /** A page of this extension, not a content script. */
  isExtensionPage: boolean;
  /** Address of the tab's top frame. */
  url: string;
  document: string | undefined;
}

type Handlers = {
  [Name in RequestName]: (body: RequestBody<Name>, from: Sender) => Promise<Replies[Name]>;
};

/** Requests that concern the whole browser are for extension pages, those that concern a hold for bridges. */
const PAGES_ONLY: readonly RequestName[] = [
  'overview',
  'settings',
  'change',
  'pair',
  'server',
  'choices',
  'saveSource',
];
const BRIDGES_ONLY: readonly RequestName[] = ['state', 'show', 'decide', 'settled'];

const HANDLERS: Handlers = {
  async state({ fresh }, from) {
    if (fresh === true) void jobs.cancelAll(from.tab, from.frame === 0 ? undefined : from.frame);
    if (from.frame === 0) void refreshBadge(from.tab);
    return stateOf(from.url, await readSettings());
  },

  async clones({ probe }) {
    return { clones: v.is(blob, probe) };
  },

  async submit({ photo, key }, from) {
    const { presets } = await readSettings();
    const reply = await jobs.submit(
      unpackBlob(photo),
      key,
      from.isExtensionPage ? '' : siteOf(from.url, presets),
      from,
    );
    if (!(await isStillOpen(from))) {
      await jobs.cancel(reply.job, from);
      throw problemError('gone', 'The page was left.');
    }
    void refreshBadge(from.tab);
    return reply;
  },

  async follow({ job, after }, from) {
    return { events: await jobs.follow(job, after, from) };
  },

  async result({ job, base64 }, from) {
    const { file, receipt } = await jobs.result(job, from);
    return { file: await packed(file, base64), receipt };
  },

  async cancel({ job }, from) {
    await jobs.cancel(job, from);
    void refreshBadge(from.tab);
    return null;
  },

  async show({ view, hold }, from) {
    const heard = await sendToTab(from.tab, { kind: 'show', frame: from.frame, hold, view }, { frameId: 0 });
    if (heard !== true) throw problemError('internal', 'The top frame of this tab has no bridge.');
    return null;
  },

  async settled({ photos }, from) {
    const { presets } = await readSettings();
    await uploads.recordUploads(from.tab, siteOf(from.url, presets), photos);
    return null;
  },

  async decide({ decision, frame }, from) {
    if (from.frame !== 0) throw problemError('internal', 'Decisions come from the top frame only.');
    await sendToTab(from.tab, { kind: 'decide', decision }, { frameId: frame });
    return null;
  },

  async overview({ tab, url }) {
    const [settings, server, known, here] = await Promise.all([
      readSettings(),
      serverState(),
      uploads.uploadsOfTab(tab),
      isReachable(tab),
    ]);
    const site = siteOf(url, settings.presets);
    const enabledHere = !isListed(site, settings.off);
    return { site, enabled: settings.enabled, enabledHere, reachable: here, server, ...known };
  },

  async settings() {
    return readSettings();
  },

  async change(given) {
    const { changes, bad } = parseChanges(given);
    if (bad.length > 0) throw problemError('refused', `These settings are not valid: ${bad.join(', ')}.`);
    return changeSettings(changes);
  },

  async pair(pairing) {
    return pair(pairing);
  },

  async server() {
    return serverState();
  },

  async choices() {
    return choices();
  },

  async saveSource({ key, base64 }) {
    const { file, name } = await loadSource(key);
    return { file: await packed(file, base64), name };
  },
};

/** Answers a message. Never throws. */
export async function answerRequest(message: unknown, sender: Browser.runtime.MessageSender): Promise<Reply<unknown>> {
  if (sender.id !== browser.runtime.id) return fail('internal', 'Only this extension may send requests.');
  if (!isRecord(message) || typeof message['name'] !== 'string' || !Object.hasOwn(HANDLERS, message['name'])) {
    return fail('internal', 'No such request.');
  }
  const name = message['name'] as RequestName;
  const from = senderOf(sender);
  if ((from.isExtensionPage ? BRIDGES_ONLY : PAGES_ONLY).includes(name))
    return fail('internal', 'This sender may not make this request.');
  return run(name, message['body'], from);
}

async function run<Name extends RequestName>(name: Name, body: unknown, from: Sender): Promise<Reply<unknown>> {
  if (!v.is(REQUEST_SCHEMAS[name], body)) return fail('internal', `The request ${name} cannot be read.`);
  try {
    return ok(await HANDLERS[name](body, from));
  } catch (error) {
    if (error instanceof ProblemError) return { ok: false, problem: error.problem };
    return fail(
      'internal',
      `Something went wrong in the extension: ${error instanceof Error ? error.name : 'unknown'}.`,
    );
  }
}

function senderOf(sender: Browser.runtime.MessageSender): Sender {
  const url = sender.url ?? '';
  const frame = sender.frameId ?? 0;
  return {
    isExtensionPage: url.startsWith(browser.runtime.getURL('/')),
    tab: sender.tab?.id ?? -1,
    frame,
    // During a navigation `tab.url` lags behind; the URL of the top frame itself is exact.
    url: frame === 0 ? url : (sender.tab?.url ?? ''),
    document: sender.documentId,
  };
}

/** Whether the sender's page is still open. Firefox cannot address a single document. */
async function isStillOpen(from: Sender): Promise<boolean> {
  if (from.isExtensionPage) return true;
  const to =
    from.document === undefined || import.meta.env.FIREFOX ? { frameId: from.frame } : { documentId: from.document };
  return (await sendToTab(from.tab, { kind: 'ping' }, to)) === true;
}

async function packed(file: Blob, base64 = false): Promise<BlobPayload> {
  const found = await packBlob(file, base64);
  if (found === undefined) throw new ProblemError(TOO_LARGE);
  return found;
}

let lastChange: Promise<unknown> = Promise.resolve();

/** Applies changes one after another: concurrent changes would undo each other. */
function changeSettings(changes: Partial<Settings>): Promise<Settings> {
  const changed = lastChange.then(async () => {
    const settings = parseSettings({ ...(await readSettings()), ...changes });
    await browser.storage.local.set({ [SETTINGS_KEY]: settings });
    return settings;
  });
  lastChange = changed.catch(() => undefined);
  return changed;
}
