/**
 * The leak alarm: requests that carried a photo past every hold. It only reads, and only what browsers show:
 *
 * - A file of the disk in a body (`raw[].file`). What this extension hands to a page is in memory, so a photo's file
 *   there is an original. The person may have wanted that: tabs where an original was let through raise no alarm.
 * - The name of a photo in a native form, whose files browsers show by name alone. Names of protected photos are known.
 *
 * Not seen: bytes that the page read itself and sends as a Blob or a buffer (browsers show no Blob, and a buffer may be
 * what the page drew), and all that goes by WebSocket or WebRTC. No alarm is no proof.
 */
import { browser, type Browser } from 'wxt/browser';
import { looksLikePhoto } from '../sniff-photo';
import { isListed } from '../sites';
import { readSettings } from '../settings';
import { siteOfTab } from './tabs';
import * as uploads from './upload-history';

type Details = Browser.webRequest.OnBeforeRequestDetails;

/** Milliseconds: the note of what was settled may come right behind the request that it allows. */
const CHECK_DELAY = 1000;

const NAVIGATIONS: readonly string[] = ['main_frame', 'sub_frame'];

/** Before the worker's first turn ends, or the browser will not wake it for this. */
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
  /** Photos as files of the disk. */
  files: number;
  /** Of photos in a native form. */
  names: string[];
}

/** `form`: a native one. Scripts may name a file as they like, so of theirs a name says nothing (Firefox shows it). */
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
