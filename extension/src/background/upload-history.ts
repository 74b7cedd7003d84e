/** Outcomes of the photos of each tab, and its leak count. In session memory only, because file names are private. */
import * as v from 'valibot';
import { uploadRecord, type PhotoOutcome, type UploadRecord } from '../messages';
import { count } from '../validators';
import { storedValue } from './stored-value';

const MAX_UPLOADS = 50;

const history = v.object({ uploads: v.pipe(v.array(uploadRecord), v.maxLength(MAX_UPLOADS)), leaks: count });
const tabs = storedValue('session', 'uploads', v.record(v.string(), history), {});
type Tabs = Awaited<ReturnType<typeof tabs.read>>;

const EMPTY = { uploads: [], leaks: 0 };

/** Latest first. */
export async function uploadsOfTab(tab: number): Promise<{ uploads: UploadRecord[]; leaks: number }> {
  return (await tabs.read())[tab] ?? EMPTY;
}

export async function recordUploads(
  tab: number,
  site: string,
  photos: PhotoOutcome[],
  when = Date.now(),
): Promise<void> {
  const latest = photos.map(({ surface, name, outcome, checks }) => ({ when, site, surface, name, outcome, checks }));
  await changeTab(tab, (known) => ({ ...known, uploads: [...latest, ...known.uploads].slice(0, MAX_UPLOADS) }));
}

export async function countLeak(tab: number): Promise<void> {
  await changeTab(tab, (known) => ({ ...known, leaks: known.leaks + 1 }));
}

export async function forgetTab(tab: number): Promise<void> {
  await tabs.change((all) => Object.fromEntries(Object.entries(all).filter(([id]) => id !== String(tab))));
}

function changeTab(tab: number, changed: (known: Tabs[string]) => Tabs[string]): Promise<void> {
  return tabs.change((all) => ({ ...all, [tab]: changed(all[tab] ?? EMPTY) }));
}
