/** Jobs at the server and their owners, so that closing a tab or leaving a page cancels them. */
import * as v from 'valibot';
import type { JobEvent, Replies } from '../messages';
import { problemError } from '../problems';
import { readSettings } from '../settings';
import { presetFor } from '../sites';
import { count, finite } from '../validators';
import { pairedServer } from './pairing';
import * as api from './server-api';
import { storedValue } from './stored-value';

/** A frame of a tab. `tab` is -1 for an extension page outside of tabs. */
export interface JobOwner {
  tab: number;
  frame: number;
}

const jobs = storedValue('session', 'jobs', v.record(v.string(), v.object({ tab: finite, frame: count })), {});

export async function submit(photo: Blob, key: string, site: string, owner: JobOwner): Promise<Replies['submit']> {
  const [paired, settings] = await Promise.all([pairedServer(), readSettings()]);
  const preset = presetFor(site, settings.presets, settings.fallback);
  const { recipe, deadline } = settings;
  const job = await api.submit(paired, photo, key, { recipe, preset, deadline });
  await jobs.change((all) => ({ ...all, [job]: { tab: owner.tab, frame: owner.frame } }));
  return { job, deadline };
}

/** Throws a ProblemError if the job belongs to another tab: no tab may read another tab's photos. */
export async function follow(job: string, after: number, owner: JobOwner): Promise<JobEvent[]> {
  const [paired] = await Promise.all([pairedServer(), requireOwner(job, owner)]);
  return api.follow(paired, job, after);
}

export async function result(job: string, owner: JobOwner): Promise<Awaited<ReturnType<typeof api.result>>> {
  const [paired] = await Promise.all([pairedServer(), requireOwner(job, owner)]);
  return api.result(paired, job);
}

/** Cancels a job of this tab. Does not throw. */
export async function cancel(job: string, owner: JobOwner): Promise<void> {
  const all = await jobs.read();
  if (all[job]?.tab === owner.tab) await cancelJobs([job]);
}

/** Cancels the jobs of a tab, or of one of its frames. */
export async function cancelAll(tab: number, frame?: number): Promise<void> {
  const all = Object.entries(await jobs.read());
  await cancelJobs(all.filter(([, at]) => at.tab === tab && (frame ?? at.frame) === at.frame).map(([job]) => job));
}

/** Number of photos of a tab at the server. */
export async function countJobs(tab: number): Promise<number> {
  return Object.values(await jobs.read()).filter((at) => at.tab === tab).length;
}

async function requireOwner(job: string, owner: JobOwner): Promise<void> {
  if ((await jobs.read())[job]?.tab !== owner.tab)
    throw problemError('gone', 'This photo is no longer with the server.');
}

async function cancelJobs(dropped: string[]): Promise<void> {
  if (dropped.length === 0) return;
  await jobs.change((all) => Object.fromEntries(Object.entries(all).filter(([job]) => !dropped.includes(job))));
  // If the server cannot be reached, the jobs expire there within minutes.
  await Promise.allSettled(dropped.map(async (job) => api.cancel(await pairedServer(), job)));
}
