/** `fetch` and `Request`: a body with an unknown photo waits until the photo is protected. */
import { apply, SafeWeakMap, type Realm } from '../primordials';
import { shimConstructor, shimMethod } from '../shims';
import type { RequestBodies } from './request-bodies';

const INIT = [
  'method',
  'headers',
  'mode',
  'credentials',
  'cache',
  'redirect',
  'referrer',
  'referrerPolicy',
  'integrity',
  'keepalive',
  'signal',
  'priority',
  'duplex',
  'window',
  'attributionReporting',
] as const;

export function guardFetch(bodies: RequestBodies, realm: Realm): void {
  /** Body that a Request was created with: `request.body` can be read only once. */
  const bodyOfRequest = new SafeWeakMap<object, object>();
  const remember = (request: object, from: unknown, init: unknown): void => {
    const body = bodyGiven(init) ?? (isObject(from) ? bodyOfRequest.get(from) : undefined);
    if (isObject(body)) bodyOfRequest.set(request, body);
  };
  const NativeRequest = realm.Request;
  shimConstructor(realm, 'Request', (made, [from, init]) => {
    remember(made, from, init);
  });
  shimMethod<Request>(NativeRequest.prototype, 'clone', (native, self, args) => {
    const copy = apply(native, self, args) as Request;
    remember(copy, self, undefined);
    return copy;
  });

  shimMethod(realm, 'fetch', (native, self, args) => {
    const [input, init] = args;
    const body = bodyGiven(init) ?? (isObject(input) ? bodyOfRequest.get(input) : undefined);
    return bodies.isClear(body) ? apply(native, self, args) : held(native, self, input, init, body);
  });

  async function held(
    native: (...args: never[]) => unknown,
    self: unknown,
    input: unknown,
    init: unknown,
    body: unknown,
  ): Promise<unknown> {
    const signal = (get(init, 'signal') ?? get(input, 'signal')) as AbortSignal | undefined;
    const { settled, drop } = bodies.settle(body);
    const aborted = new Promise<void>((resolve) => {
      if (signal?.aborted === true) resolve();
      signal?.addEventListener?.('abort', () => {
        resolve();
      });
    });
    const outcome = await Promise.race([settled, aborted]);
    if (outcome === undefined) {
      drop();
      throw signal?.reason;
    }
    if (outcome === null) throw new realm.TypeError('Failed to fetch');
    return apply(native, self, again(input, init, outcome.body));
  }

  function again(input: unknown, init: unknown, body: unknown): [unknown, unknown] {
    const next: Record<string, unknown> = {};
    for (const name of INIT) {
      const value = get(init, name);
      if (value !== undefined) next[name] = value;
    }
    if (isObject(input) && bodyOfRequest.has(input) && next['headers'] === undefined) {
      // Its content type names the multipart boundary of the first body.
      const headers = new realm.Headers((input as Request).headers);
      if (/^multipart\/form-data/i.test(headers.get('content-type') ?? '')) headers.delete('content-type');
      next['headers'] = headers;
    }
    next['body'] = body;
    return [input, next];
  }
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

function get(from: unknown, name: string): unknown {
  return isObject(from) ? (from as Record<string, unknown>)[name] : undefined;
}

function bodyGiven(init: unknown): unknown {
  const body = get(init, 'body');
  return body === null ? undefined : body;
}
