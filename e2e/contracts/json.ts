/** An object of a fixture file. */
export type FixtureObject = Readonly<Record<string, unknown>>;

/** Throws unless the value is an object. */
export function asObject(value: unknown): FixtureObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('the fixture should hold an object here');
  return Object.fromEntries(Object.entries(value));
}

/** Throws unless the value is an array. */
export function asArray(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error('the fixture should hold an array here');
  return value;
}

/** Throws unless the value is a string. */
export function asString(value: unknown): string {
  if (typeof value !== 'string') throw new Error('the fixture should hold a string here');
  return value;
}
