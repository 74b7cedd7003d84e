/**
 * Values that must outlive the worker: kept in the browser's storage, changed one after another. Two handlers of one
 * worker would otherwise read the same value and the later one would undo the earlier.
 */
import * as v from 'valibot';
import { browser } from 'wxt/browser';

export interface StoredValue<Value> {
  read(): Promise<Value>;
  /** Replaces it by what `changed` makes of it. */
  change(changed: (value: Value) => Value): Promise<void>;
}

/** `area`: "session" is memory only, and gone with the browser. What was stored and is not of the shape counts as empty. */
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
