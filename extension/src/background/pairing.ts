/** Which server, and the token for it. The token never leaves the background. */
import { browser } from 'wxt/browser';
import type { Choices, ServerState } from '../messages';
import { problem, refuse, Refusal } from '../problems';
import { object, text } from '../shape';
import * as api from './api';
import { stored } from './stored';

export const NEARBY = 'http://127.0.0.1:8765';

const UNPAIRED = problem('unpaired', 'Pair this extension with your server first.');

const pairing = stored('local', 'pairing', object({ address: text(300), token: text(1000) }), {
  address: NEARBY,
  token: '',
});

/** Content scripts run beside hostile pages: they may not even read what is stored (Firefox has no such switch). */
export function closeStorage(): void {
  const area = browser.storage.local as { setAccessLevel?: (level: { accessLevel: string }) => Promise<void> };
  area.setAccessLevel?.({ accessLevel: 'TRUSTED_CONTEXTS' }).catch(() => undefined);
}

/** The paired server. Throws a Refusal while there is none. */
export async function server(): Promise<api.Server> {
  const found = await pairing.read();
  if (found.token === '') throw new Refusal(UNPAIRED);
  return found;
}

/** Asks it how it stands. */
export async function serverState(): Promise<ServerState> {
  const found = await pairing.read();
  const state = { address: found.address, paired: found.token !== '', provider: '' };
  if (!state.paired) return { ...state, problem: UNPAIRED };
  try {
    return { ...state, provider: await api.ready(found), problem: null };
  } catch (error) {
    return { ...state, problem: error instanceof Refusal ? error.problem : problem('internal', String(error)) };
  }
}

export async function pair(wish: { address: string; code: string } | null): Promise<ServerState> {
  if (wish === null) {
    await pairing.change(({ address }) => ({ address, token: '' }));
  } else {
    const address = addressFrom(wish.address);
    const token = await api.pair(address, wish.code.trim());
    await pairing.change(() => ({ address, token }));
  }
  return serverState();
}

export async function choices(): Promise<Choices> {
  return api.choices(await server());
}

/** What a person types for the server, as an origin. Throws a Refusal. */
export function addressFrom(typed: string): string {
  const trimmed = typed.trim() || NEARBY;
  let url: URL;
  try {
    url = new URL(/^[a-z][a-z+.-]*:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`);
  } catch {
    throw refuse('refused', 'This is no address: type one like http://127.0.0.1:8765.');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw refuse('refused', 'The address must begin with http:// or https://.');
  }
  if (url.username !== '' || url.password !== '' || url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw refuse('refused', 'The address is a host and a port, nothing more: type one like http://127.0.0.1:8765.');
  }
  return url.origin;
}
