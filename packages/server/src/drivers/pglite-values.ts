import type { ParserOptions, PGlite, SerializerOptions } from '@electric-sql/pglite';

const keepText = (value: string): string => value;

/** Replaces every parser that this instance has, so that values stay as PostgreSQL wrote them. It merges by name, hence the list. */
export function createTextParsers(pglite: Pick<PGlite, 'parsers'>): ParserOptions {
  const parsers: ParserOptions = {};
  for (const typeNumber of Object.keys(pglite.parsers)) parsers[Number(typeNumber)] = keepText;
  return parsers;
}

/** Parameters are text already; PGlite asks by type number, so one answer serves all of them. */
export const serializers: SerializerOptions = new Proxy<SerializerOptions>({}, { get: () => keepText });
