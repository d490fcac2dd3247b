import { SyncError } from '@oversync/protocol';
import type { ErrorCode } from '@oversync/protocol';

import { parseQueryInteger } from '../rules/query-integers.ts';

/** Reads the integers of a query; every fault is the endpoint's own 400 code. */
export class QueryReader {
  readonly #parameters: URLSearchParams;
  readonly #code: ErrorCode;

  constructor(parameters: URLSearchParams, code: ErrorCode) {
    this.#parameters = parameters;
    this.#code = code;
  }

  /** Missing or empty: `undefined`. */
  optional(name: string, min: bigint): bigint | undefined {
    const value = parseQueryInteger(this.#parameters.get(name));
    if (value === undefined) return undefined;
    if (value === null) throw new SyncError(this.#code, { message: `${name} is not an integer` });
    if (value < min) throw new SyncError(this.#code, { message: `${name} is below ${min.toString()}` });
    return value;
  }

  integer(name: string, fallback: bigint, min: bigint): bigint {
    return this.optional(name, min) ?? fallback;
  }

  /** A positive count that is silently lowered to what the server allows. */
  cappedCount(name: string, fallback: number, max: number): number {
    const value = this.optional(name, 1n) ?? BigInt(fallback);
    return value > BigInt(max) ? max : Number(value);
  }

  /** A positive count that is refused above what the server allows. */
  boundedCount(name: string, fallback: number, max: number): number {
    const value = this.optional(name, 1n) ?? BigInt(fallback);
    if (value > BigInt(max)) throw new SyncError(this.#code, { message: `${name} is above ${String(max)}` });
    return Number(value);
  }

  /** An integer of the path, which must be there. */
  path(name: string, text: string, min: bigint): bigint {
    const value = parseQueryInteger(text);
    if (value === undefined || value === null || value < min)
      throw new SyncError(this.#code, { message: `${name} is not a valid number` });
    return value;
  }
}
