import { isJsonObject, JsonNumber, LIMITS, parseInt64, parseJson } from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';

/** Stands for a number that is not an integer of 64 bits in the spelling of the contract; no integer schema accepts it. */
const NOT_AN_INTEGER = 0.5;

/**
 * Reads JSON by the rules of the contract (no duplicate members, bounded depth) into what a JSON Schema validator knows.
 *
 * @throws JsonSyntaxError
 */
export function readJson(text: string): unknown {
  return toPlain(parseJson(text, { depthMax: LIMITS.responseJsonDepthMax }));
}

function toPlain(value: JsonValue): unknown {
  if (value instanceof JsonNumber) {
    const integer = parseInt64(value);
    return integer === null ? NOT_AN_INTEGER : Number(integer);
  }
  if (Array.isArray(value)) return value.map(toPlain);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, toPlain(member)]));
}
