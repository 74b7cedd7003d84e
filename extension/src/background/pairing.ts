/** The paired server and its token. The token never leaves the background. */
import * as v from 'valibot';
import { browser } from 'wxt/browser';
import type { Choices, ServerState } from '../messages';
import { problem, problemError, ProblemError } from '../problems';
import { text } from '../validators';
import * as api from './server-api';
import { storedValue } from './stored-value';

const LOCAL_SERVER = 'http://127.0.0.1:8765';

const UNPAIRED = problem('unpaired', 'Pair this extension with your server first.');

const pairing = storedValue('local', 'pairing', v.object({ address: text(300), token: text(1000) }), {
  address: LOCAL_SERVER,
  token: '',
});

/** Denies content scripts access to storage, as they run in hostile pages. Firefox has no such switch. */
export function restrictStorage(): void {
  const area = browser.storage.local as { setAccessLevel?: (level: { accessLevel: string }) => Promise<void> };
  area.setAccessLevel?.({ accessLevel: 'TRUSTED_CONTEXTS' }).catch(() => undefined);
}

/** Returns the paired server. Throws a ProblemError if there is none. */
export async function pairedServer(): Promise<api.Server> {
  const found = await pairing.read();
  if (found.token === '') throw new ProblemError(UNPAIRED);
  return found;
}

/** Asks the server for its state. */
export async function serverState(): Promise<ServerState> {
  const found = await pairing.read();
  const state = { address: found.address, paired: found.token !== '', provider: '' };
  if (!state.paired) return { ...state, problem: UNPAIRED };
  try {
    return { ...state, provider: await api.ready(found), problem: null };
  } catch (error) {
    return { ...state, problem: error instanceof ProblemError ? error.problem : problem('internal', String(error)) };
  }
}

export async function pair(given: { address: string; code: string } | null): Promise<ServerState> {
  if (given === null) {
    await pairing.change(({ address }) => ({ address, token: '' }));
  } else {
    const address = parseAddress(given.address);
    const token = await api.pair(address, given.code.trim());
    await pairing.change(() => ({ address, token }));
  }
  return serverState();
}

export async function choices(): Promise<Choices> {
  return api.choices(await pairedServer());
}

/** Parses user input as the server's origin. Throws a ProblemError. */
function parseAddress(typed: string): string {
  const trimmed = typed.trim() || LOCAL_SERVER;
  let url: URL;
  try {
    url = new URL(/^[a-z][a-z+.-]*:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`);
  } catch {
    throw problemError('refused', 'This is not an address. Type one like http://127.0.0.1:8765.');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw problemError('refused', 'The address must begin with http:// or https://.');
  }
  if (url.username !== '' || url.password !== '' || url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw problemError('refused', 'The address must be a host and a port only. Type one like http://127.0.0.1:8765.');
  }
  return url.origin;
}
