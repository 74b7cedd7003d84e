/** What became of the photos of each tab, and what left it unseen. In session memory only: names are private. */
import type { PhotoOutcome, UploadRecord } from '../messages';
import { count, list, map, number, object, only, text, type Shape } from '../validators';
import { storedValue } from './stored-value';

const SURFACES = ['input', 'drop', 'paste', 'clipboard', 'handle', 'network'] as const;
const MAX_UPLOADS = 50;

export const settled: Shape<PhotoOutcome> = object({
  surface: only(...SURFACES),
  name: text(4096),
  outcome: only('protected', 'withheld', 'original'),
  checks: text(100),
});
const upload: Shape<UploadRecord> = (value): value is UploadRecord =>
  settled(value) && object({ when: number, site: text(300) })(value);

const tabs = storedValue('session', 'uploads', map(object({ uploads: list(upload, MAX_UPLOADS), leaks: count })), {});
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
