/** One requirement of a port. `run` rejects when the implementation does not meet it. */
export interface ConformanceCase<Subject> {
  /** The behaviour, as a sentence; use it as the name of the test. */
  readonly name: string;
  readonly run: (subject: Subject) => Promise<void>;
}

/** Thrown when an implementation does not conform. */
export class ConformanceError extends Error {
  override readonly name = 'ConformanceError';
}

/** Compares two plain values by their JSON text; bytes and bigint have to be turned into text first. */
export function expectEqual(actual: unknown, expected: unknown, what: string): void {
  const actualText = JSON.stringify(actual);
  const expectedText = JSON.stringify(expected);
  if (actualText !== expectedText) throw new ConformanceError(`${what}: expected ${expectedText}, got ${actualText}`);
}

export function expectTrue(isTrue: boolean, what: string): void {
  if (!isTrue) throw new ConformanceError(what);
}

/** Resolves to what `fn` rejects with. */
export async function catchRejection(fn: () => Promise<unknown>, what: string): Promise<unknown> {
  let isResolved = false;
  try {
    await fn();
    isResolved = true;
  } catch (error) {
    return error;
  }
  throw new ConformanceError(isResolved ? `${what}: expected a rejection` : what);
}
