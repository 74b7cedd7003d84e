/**
 * Leak alarm: counts requests that carried a photo past every hold. It only reads the parts of a request body that browsers expose:
 *
 * - A file on disk (`raw[].file`). Protected photos are in memory, so this is an original. The user may have released
 *   it: tabs where an original was released raise no alarm.
 * - The name of a photo in a native form; browsers show no more of its files. Names of protected photos are known.
 *
 * It does not see bytes that the page sends as a Blob or a buffer (browsers hide Blobs, and a buffer may be a drawing
 * of the page), nor WebSocket and WebRTC. No alarm does not prove that there was no leak.
 */
import { browser, type Browser } from 'wxt/browser';
import { readSettings } from '../settings';
import { isListed } from '../sites';
import { looksLikePhoto } from '../sniff-photo';
import { siteOfTab } from './tabs';
import * as uploads from './upload-history';

type Details = Browser.webRequest.OnBeforeRequestDetails;

/** Milliseconds before a request is judged: the outcome of its hold may arrive right after it. */
const CHECK_DELAY = 1000;

const NAVIGATIONS: readonly string[] = ['main_frame', 'sub_frame'];

/** Call it synchronously at start, or the browser does not wake the worker for requests. */
export function watchRequests(): void {
  browser.webRequest.onBeforeRequest.addListener(
    (details) => {
      if (details.tabId < 0 || details.requestBody == null) return undefined;
      const carried = photosInBody(details.requestBody, NAVIGATIONS.includes(details.type));
      if (carried.files + carried.names.length > 0)
        setTimeout(() => void countIfLeak(details.tabId, carried), CHECK_DELAY);
      return undefined;
    },
    { urls: ['http://*/*', 'https://*/*'], types: ['main_frame', 'sub_frame', 'xmlhttprequest', 'ping', 'other'] },
    ['requestBody'],
  );
}

interface CarriedPhotos {
  /** Number of photos as files on disk. */
  files: number;
  /** Names of photos in a native form. */
  names: string[];
}

/** `form`: a native form. Scripts may use any file name, so names in their requests (shown by Firefox) are ignored. */
export function photosInBody(body: NonNullable<Details['requestBody']>, form: boolean): CarriedPhotos {
  const files = (body.raw ?? []).filter((part) => part.file !== undefined && looksLikePhoto('', part.file)).length;
  const values = form ? Object.values(body.formData ?? {}).flat() : [];
  return { files, names: values.filter((value) => typeof value === 'string' && looksLikePhoto('', value)) as string[] };
}

export function isLeak(carried: CarriedPhotos, known: { name: string; outcome: string }[]): boolean {
  if (known.some((upload) => upload.outcome === 'original')) return false;
  const handed = known.filter(({ outcome }) => outcome === 'protected').map(({ name }) => name);
  return carried.files > 0 || carried.names.some((name) => !handed.includes(name));
}

async function countIfLeak(tab: number, carried: CarriedPhotos): Promise<void> {
  const [settings, site, { uploads: known }] = await Promise.all([
    readSettings(),
    siteOfTab(tab),
    uploads.uploadsOfTab(tab),
  ]);
  if (!settings.enabled || isListed(site, settings.off)) return;
  if (isLeak(carried, known)) await uploads.countLeak(tab);
}
