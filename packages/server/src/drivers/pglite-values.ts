import type { ParserOptions, PGlite, SerializerOptions } from '@electric-sql/pglite';

import type { PgValue } from '../ports/postgres.ts';

const keepText = (value: string): string => value;

/** Replaces every parser that this instance has, so that values stay as PostgreSQL wrote them. It merges by name, hence the list. */
export function createTextParsers(pglite: Pick<PGlite, 'parsers'>): ParserOptions {
  const parsers: ParserOptions = {};
  for (const typeNumber of Object.keys(pglite.parsers)) parsers[Number(typeNumber)] = keepText;
  return parsers;
}

/** Parameters are text already; PGlite asks by type number, so one answer serves all of them. */
export const serializers: SerializerOptions = new Proxy<SerializerOptions>({}, { get: () => keepText });

/** The text form of a parameter. */
export function serializeParam(value: PgValue): string | null {
  if (value === null || typeof value === 'string') return value;
  return value instanceof Uint8Array ? formatBytea(value) : formatArray(value);
}

function formatBytea(bytes: Uint8Array): string {
  let hex = '\\x';
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0');
  return hex;
}

function formatArray(values: readonly (string | null)[]): string {
  const elements = values.map((value) => (value === null ? 'NULL' : `"${value.replaceAll(/["\\]/g, '\\$&')}"`));
  return `{${elements.join(',')}}`;
}
