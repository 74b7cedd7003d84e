/** Schemas of values that messages, storage and the server's answers have in common. */
import * as v from 'valibot';

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** An object whose content is checked elsewhere or not at all. */
export const recordOf = <Value extends object>(): v.GenericSchema<Value> => v.custom<Value>(isRecord);

export const text = (maxLength: number) => v.pipe(v.string(), v.maxLength(maxLength));

export const finite = v.pipe(v.number(), v.finite());

/** A whole number of 0 or more. */
export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** A Blob or File, of whichever world made it. */
export const blob = v.custom<Blob>(
  (value) => value instanceof Blob || /^\[object (Blob|File)\]$/.test(Object.prototype.toString.call(value)),
);
