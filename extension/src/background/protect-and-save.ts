/** "Protect and save" in the context menu: hands the chosen image to the page that protects it. */
import * as v from 'valibot';
import { browser } from 'wxt/browser';
import { unpackBlob } from '../blob-transfer';
import { blobPayload } from '../messages';
import { PHOTO_EXTENSIONS } from '../photo-formats';
import { problemError, ProblemError } from '../problems';
import { SNIFF_BYTES, sniffImage } from '../sniff-photo';
import { count, finite, isRecord, text } from '../validators';
import { storedValue } from './stored-value';
import { sendToTab } from './tabs';

/** Address of an image. A blob: URL can only be read in its own frame. */
interface Source {
  url: string;
  tab: number;
  frame: number;
}

const MAX_SOURCES = 8;
const MAX_URL_LENGTH = 8_000_000; // data: URLs hold whole images
const MAX_BYTES = 64_000_000;
const FETCH_TIMEOUT = 60_000;

const sources = storedValue(
  'session',
  'sources',
  v.record(v.string(), v.object({ url: text(MAX_URL_LENGTH), tab: finite, frame: count })),
  {},
);

/** Stores an image address. Returns its key, which becomes the hash of save.html. */
async function rememberSource(source: Source): Promise<string> {
  const key = crypto.randomUUID();
  await sources.change((all) => Object.fromEntries([...Object.entries(all), [key, source]].slice(-MAX_SOURCES)));
  return key;
}

/** Fetches a stored image. Throws a ProblemError if it is not a photo. */
export async function loadSource(key: string): Promise<{ file: Blob; name: string }> {
  const source = (await sources.read())[key];
  if (source === undefined)
    throw problemError('gone', 'This image was chosen too long ago. Choose it on its page again.');
  const file = await fetchSource(source);
  if (file.size > MAX_BYTES) throw problemError('too-large', 'This image is larger than 64 MB.');
  if (sniffImage(new Uint8Array(await file.slice(0, SNIFF_BYTES).arrayBuffer())) !== 'photo') {
    throw problemError('refused', 'This is not a JPEG, PNG, WebP, AVIF or HEIC photo, so it cannot be protected.');
  }
  return { file, name: fileNameOf(source.url) };
}

/** Last part of the path, or "". */
function fileNameOf(url: string): string {
  if (!/^(https?|file):/.test(url)) return '';
  const last = new URL(url).pathname.split('/').at(-1) ?? '';
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

async function fetchSource({ url, tab, frame }: Source): Promise<Blob> {
  if (url.startsWith('blob:')) return readFromFrame(url, tab, frame);
  try {
    // Like the browser's own "Save image": with the user's cookies, and from the cache if possible.
    const answer = await fetch(url, {
      credentials: 'include',
      cache: 'force-cache',
      referrerPolicy: 'no-referrer',
      signal: AbortSignal.timeout(FETCH_TIMEOUT),
    });
    if (!answer.ok) throw problemError('refused', `The site did not return the image (${answer.status}).`);
    return await answer.blob();
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw url.startsWith('file:')
      ? problemError(
          'refused',
          'Allow access to file URLs in the browser settings of this extension, or choose the file here.',
        )
      : problemError('refused', 'The image could not be fetched from its site.');
  }
}

async function readFromFrame(url: string, tab: number, frame: number): Promise<Blob> {
  for (const base64 of [false, true]) {
    // Where messages cannot hold Blobs, the first reply has something else in its place.
    const reply = await sendToTab(tab, { kind: 'bytes', url, base64 }, { frameId: frame });
    if (isRecord(reply) && reply['ok'] === true && v.is(blobPayload, reply['value'])) return unpackBlob(reply['value']);
  }
  throw problemError('gone', 'The image could not be read from its page, which may have been closed.');
}

/** Creates the context menu entries: on images, and on the page of a local image file. */
export function createMenu(): void {
  const title = messageOr('menu_protect', 'Protect and save');
  browser.contextMenus.removeAll(() => {
    browser.contextMenus.create({ id: 'image', title, contexts: ['image'] });
    const local = PHOTO_EXTENSIONS.flatMap((end) => [end, end.toUpperCase()]);
    const documentUrlPatterns = local.map((end) => `file:///*.${end}`);
    browser.contextMenus.create({ id: 'page', title, contexts: ['page'], documentUrlPatterns });
  });
}

/** Call it synchronously at start, or the browser does not wake the worker for clicks. */
export function watchMenu(): void {
  browser.contextMenus.onClicked.addListener((chosen, tab) => {
    const url = chosen.srcUrl ?? chosen.pageUrl;
    if (url === undefined || tab?.id === undefined) return;
    void openSavePage({ url, tab: tab.id, frame: chosen.frameId ?? 0 });
  });
}

async function openSavePage(source: Source): Promise<void> {
  const key = await rememberSource(source);
  await browser.tabs.create({ url: `${browser.runtime.getURL('/')}save.html#${key}` });
}

/** A message of _locales, or a default. */
function messageOr(key: string, otherwise: string): string {
  return (browser.i18n.getMessage as (key: string) => string)(key) || otherwise;
}
