import { capturedKeyValue } from './encode-row.ts';
import { uuidFromHex } from './hex.ts';
import type { LocalTable } from './local-schema.ts';

/** The wire form of a key for people and the API. A key that has none is shown as it was captured. */
export function wireKeyOf(table: LocalTable | undefined, keyJson: string): string {
  if (table === undefined) return keyJson;
  try {
    const captured = capturedKeyValue(keyJson, table.key);
    return table.key.kind === 'uuidBlob' ? (uuidFromHex(captured) ?? captured) : captured;
  } catch {
    return keyJson;
  }
}
