/** "Protect and save": the image that the person chose, for the page that protects it. */
import { browser } from 'wxt/browser';
import { payload, unpack } from '../payload';
import { HEAD, sniff } from '../photos';
import { refuse, Refusal } from '../problems';
import { count, map, number, object, record, text } from '../shape';
import { stored } from './stored';
import { tell } from './tabs';

/** Where the image is; the frame that shows it alone can read a blob: URL. */
export interface Source {
  url: string;
  tab: number;
  frame: number;
}

const MOST = 8;
const LONGEST_URL = 8_000_000; // data: URLs hold whole images
const MOST_BYTES = 64_000_000;
const WAIT = 60_000;

const sources = stored('session', 'sources', map(object({ url: text(LONGEST_URL), tab: number, frame: count })), {});

/** Remembers it under a key, which is the hash of save.html. */
export async function keep(source: Source): Promise<string> {
  const key = crypto.randomUUID();
  await sources.change((all) => Object.fromEntries([...Object.entries(all), [key, source]].slice(-MOST)));
  return key;
}

/** Throws a Refusal where there is no photo. */
export async function saveSource(key: string): Promise<{ file: Blob; name: string }> {
  const source = (await sources.read())[key];
  if (source === undefined) throw refuse('gone', 'This image was chosen too long ago: choose it in its page again.');
  const file = await bytesOf(source);
  if (file.size > MOST_BYTES) throw refuse('too-large', 'This image is larger than 64 MB.');
  if (sniff(new Uint8Array(await file.slice(0, HEAD).arrayBuffer())) !== 'photo') {
    throw refuse('refused', 'This is no photo in a format that can be protected: JPEG, PNG, WebP, AVIF or HEIC.');
  }
  return { file, name: nameOf(source.url) };
}

/** The last part of its path; "" where it has none. */
export function nameOf(url: string): string {
  if (!/^(https?|file):/.test(url)) return '';
  const last = new URL(url).pathname.split('/').at(-1) ?? '';
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

async function bytesOf({ url, tab, frame }: Source): Promise<Blob> {
  if (url.startsWith('blob:')) return fromFrame(url, tab, frame);
  try {
    // As the browser's own "Save image" does: with the person's cookies, and from the cache where it is there.
    const answer = await fetch(url, {
      credentials: 'include',
      cache: 'force-cache',
      referrerPolicy: 'no-referrer',
      signal: AbortSignal.timeout(WAIT),
    });
    if (!answer.ok) throw refuse('refused', `The site did not give the image (${answer.status}).`);
    return await answer.blob();
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw url.startsWith('file:')
      ? refuse('refused', 'Allow access to file URLs in the settings of this extension, or choose the file here.')
      : refuse('refused', 'The image could not be read from its site.');
  }
}

async function fromFrame(url: string, tab: number, frame: number): Promise<Blob> {
  for (const base64 of [false, true]) {
    // Where Blobs are not cloned, something else arrives in the place of the first.
    const reply = await tell(tab, { kind: 'bytes', url, base64 }, { frameId: frame });
    if (record(reply) && reply['ok'] === true && payload(reply['value'])) return unpack(reply['value']);
  }
  throw refuse('gone', 'The page that showed the image was left, or does not give it.');
}

/** The context menu's entries: on images, and on the page of a local image. */
export function menu(): void {
  const title = words('menu_protect', 'Protect and save');
  browser.contextMenus.removeAll(() => {
    browser.contextMenus.create({ id: 'image', title, contexts: ['image'] });
    const local = ['jpg', 'jpeg', 'png', 'webp', 'avif', 'heic'].flatMap((end) => [end, end.toUpperCase()]);
    const documentUrlPatterns = local.map((end) => `file:///*.${end}`);
    browser.contextMenus.create({ id: 'page', title, contexts: ['page'], documentUrlPatterns });
  });
}

/** Before the worker's first turn ends. */
export function watchMenu(): void {
  browser.contextMenus.onClicked.addListener((chosen, tab) => {
    const url = chosen.srcUrl ?? chosen.pageUrl;
    if (url === undefined || tab?.id === undefined) return;
    void open({ url, tab: tab.id, frame: chosen.frameId ?? 0 });
  });
}

async function open(source: Source): Promise<void> {
  const key = await keep(source);
  await browser.tabs.create({ url: `${browser.runtime.getURL('/')}save.html#${key}` });
}

/** A message of _locales, where there is one by that name. */
function words(key: string, otherwise: string): string {
  return (browser.i18n.getMessage as (key: string) => string)(key) || otherwise;
}
