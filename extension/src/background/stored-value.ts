/**
 * Values that outlive the worker, in the browser's storage. Changes are serialised: concurrent handlers would otherwise
 * read the same value and undo each other.
 */
import * as v from 'valibot';
import { browser } from 'wxt/browser';

interface StoredValue<Value> {
  read(): Promise<Value>;
  /** Replaces the value by `changed(value)`. */
  change(changed: (value: Value) => Value): Promise<void>;
}

/** `area`: "session" is in memory until the browser closes. A stored value that the schema rejects reads as `empty`. */
export function storedValue<Value>(
  area: 'session' | 'local',
  key: string,
  schema: v.GenericSchema<Value>,
  empty: Value,
): StoredValue<Value> {
  let last: Promise<unknown> = Promise.resolve();
  const read = async (): Promise<Value> => {
    const value: unknown = (await browser.storage[area].get(key))[key];
    return v.is(schema, value) ? value : empty;
  };
  return {
    read,
    change(changed) {
      const turn = last.then(async () => browser.storage[area].set({ [key]: changed(await read()) }));
      last = turn.catch(() => undefined);
      return turn;
    },
  };
}
