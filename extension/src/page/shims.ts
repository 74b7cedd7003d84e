/**
 * Replaces functions of the browser by Proxies, which keep name, length, prototype, `toString` output, `instanceof` and
 * `extends`, and throw what the original throws.
 */
import { apply, defineProperty, descriptorOf, SafeWeakMap, type Realm } from './primordials';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- functions of every parameter list
export type Native = (...args: any[]) => any;
type Constructor = new (...args: never[]) => object;

const construct = Reflect.construct;

/** Shim -> original, for `Function.prototype.toString`. */
const originals = new SafeWeakMap<object, object>();

function maskedProxy<F extends object>(native: F, traps: ProxyHandler<F>): F {
  const shim = new Proxy(native, traps);
  originals.set(shim, native);
  return shim;
}

/** Replaces a method. `run` gets the original, `this` and the arguments. */
export function shimMethod<Self = unknown>(
  owner: object | undefined,
  name: string,
  run: (native: Native, self: Self, args: unknown[]) => unknown,
): void {
  const descriptor = owner === undefined ? undefined : descriptorOf(owner, name);
  if (owner === undefined || typeof descriptor?.value !== 'function') return;
  const value = maskedProxy(descriptor.value as Native, {
    apply: (native, self, args) => run(native, self as Self, args),
  });
  defineProperty(owner, name, { ...descriptor, value });
}

export function shimGetter<Self = unknown, Value = unknown>(
  owner: object | undefined,
  name: string,
  see: (value: Value, self: Self) => unknown,
): void {
  const descriptor = owner === undefined ? undefined : descriptorOf(owner, name);
  if (owner === undefined || descriptor?.get === undefined) return;
  const get = maskedProxy(descriptor.get, {
    apply: (native, self, args) => see(apply(native as Native, self, args) as Value, self as Self),
  });
  defineProperty(owner, name, { ...descriptor, get });
}

export function shimSetter<Self = unknown>(
  owner: object | undefined,
  name: string,
  change: (value: unknown, self: Self) => unknown,
): void {
  const descriptor = owner === undefined ? undefined : descriptorOf(owner, name);
  if (owner === undefined || descriptor?.set === undefined) return;
  const set = maskedProxy(descriptor.set, {
    apply: (native, self, args: unknown[]) => apply(native as Native, self, [change(args[0], self as Self)]) as unknown,
  });
  defineProperty(owner, name, { ...descriptor, set });
}

/** Replaces a constructor. `made` gets every new object and the arguments. */
export function shimConstructor(realm: Realm, name: string, made: (object: object, args: unknown[]) => void): void {
  const descriptor = descriptorOf(realm, name);
  if (typeof descriptor?.value !== 'function') return;
  const value = maskedProxy(descriptor.value as Constructor, {
    construct: (native, args: never[], target) => {
      const object = construct(native, args, target === value ? native : target) as object;
      made(object, args);
      return object;
    },
  });
  defineProperty(realm, name, { ...descriptor, value });
  const prototype = (descriptor.value as Constructor).prototype as object;
  defineProperty(prototype, 'constructor', { ...descriptorOf(prototype, 'constructor'), value });
}

export function maskToString(realm: Realm): void {
  shimMethod<object>(realm.Function.prototype, 'toString', (native, self, args) => {
    return apply(native, (typeof self === 'function' ? originals.get(self) : undefined) ?? self, args);
  });
}
