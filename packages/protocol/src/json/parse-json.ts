import { JsonSyntaxError } from './json-error.ts';
import type { JsonValue } from './json-value.ts';
import { scanJson } from './scan-json.ts';

/** Bounds of {@link parseJson}. */
export interface ParseJsonOptions {
  /** Deepest allowed nesting of arrays and objects; `[[1]]` has 2. */
  readonly depthMax: number;
}

/**
 * Reads one JSON document without loss.
 *
 * Accepts exactly RFC 8259 texts, and of those refuses duplicate members (also when one is written with escapes),
 * unpaired surrogates, a byte order mark, and nesting beyond `depthMax`. Numbers that a JS number would not keep
 * come back as {@link JsonNumber}. Reads at two thirds of the speed of `JSON.parse` and better.
 *
 * @throws {@link JsonSyntaxError} with the reason and the offset.
 */
export function parseJson(text: string, options: ParseJsonOptions): JsonValue {
  return scanJson(text, options.depthMax);
}

/**
 * {@link parseJson} for the bytes of a body: refuses malformed UTF-8 and a byte order mark too.
 *
 * @throws {@link JsonSyntaxError}
 */
export function parseJsonBytes(bytes: Uint8Array, options: ParseJsonOptions): JsonValue {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) throw new JsonSyntaxError('bom', 0);
  return parseJson(decodeUtf8(bytes), options);
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new JsonSyntaxError('utf8', 0);
  }
}
