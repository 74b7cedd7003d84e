/** Checks of what comes from elsewhere: messages, stored values, the server's JSON. */

export type Shape<Value> = (value: unknown) => value is Value;
type Of<Checked> = Checked extends Shape<infer Value> ? Value : never;

export const text =
  (most: number, pattern = /^/): Shape<string> =>
  (value): value is string =>
    typeof value === 'string' && value.length <= most && pattern.test(value);

export const flag: Shape<boolean> = (value): value is boolean => typeof value === 'boolean';
export const number: Shape<number> = (value): value is number => typeof value === 'number' && Number.isFinite(value);
export const count: Shape<number> = (value): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
export const anything: Shape<unknown> = (_): _ is unknown => true;

export const record: Shape<Record<string, unknown>> = (value): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const only =
  <const Value extends string | null>(...values: Value[]): Shape<Value> =>
  (value): value is Value =>
    (values as unknown[]).includes(value);

export const or =
  <One, Other>(one: Shape<One>, other: Shape<Other>): Shape<One | Other> =>
  (value): value is One | Other =>
    one(value) || other(value);

export const list =
  <Value>(each: Shape<Value>, most: number): Shape<Value[]> =>
  (value): value is Value[] =>
    Array.isArray(value) && value.length <= most && value.every(each);

export const map =
  <Value>(each: Shape<Value>): Shape<Record<string, Value>> =>
  (value): value is Record<string, Value> =>
    record(value) && Object.values(value).every(each);

/** Every key of `must` is there and good; of `may`, where it is there. Further keys are nobody's concern. */
export const object =
  <Must extends Record<string, Shape<unknown>>, May extends Record<string, Shape<unknown>> = Record<never, never>>(
    must: Must,
    may?: May,
  ): Shape<{ [Key in keyof Must]: Of<Must[Key]> } & { [Key in keyof May]?: Of<May[Key]> }> =>
  (value): value is { [Key in keyof Must]: Of<Must[Key]> } & { [Key in keyof May]?: Of<May[Key]> } =>
    record(value) &&
    Object.entries(must).every(([key, good]) => good(value[key])) &&
    Object.entries(may ?? {}).every(([key, good]) => value[key] === undefined || good(value[key]));

/** One of several, told apart by the value of its tag. */
export const byTag =
  <Value>(tag: string, shapes: Record<string, Shape<unknown>>): Shape<Value> =>
  (value): value is Value =>
    record(value) &&
    typeof value[tag] === 'string' &&
    Object.hasOwn(shapes, value[tag]) &&
    shapes[value[tag]]?.(value) === true;

/** A Blob or a File, of whichever world made it. */
export const blob: Shape<Blob> = (value): value is Blob =>
  value instanceof Blob || /^\[object (Blob|File)\]$/.test(Object.prototype.toString.call(value));
