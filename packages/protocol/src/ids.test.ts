import { describe, expect, it } from 'vitest';
import {
  isColumnName,
  isReservedSourceId,
  isSha256Hex,
  isSourceId,
  isTextKey,
  isUuidKey,
  isUuidToken,
  isWellFormed,
} from './index.ts';

describe('ids', () => {
  it('take 1 to 256 visible ASCII characters for a source id', () => {
    for (const id of ['a', '!', '~', 'a'.repeat(256), 'oversync-adoption:1']) expect(isSourceId(id), id).toBe(true);
    for (const id of ['', ' ', 'a b', 'a\n', 'é', '\u007f', 'a'.repeat(257)]) expect(isSourceId(id), id).toBe(false);
  });

  it('reserve one prefix, byte for byte', () => {
    expect(isReservedSourceId('oversync-adoption:x')).toBe(true);
    expect(isReservedSourceId('Oversync-adoption:x')).toBe(false);
    expect(isReservedSourceId('x-oversync-adoption:')).toBe(false);
  });

  it('take lower-case dashed UUIDs only for tokens and uuid keys', () => {
    const uuid = '6df0d8dd-a84b-43b6-bbca-8de70432922a';
    for (const check of [isUuidToken, isUuidKey]) {
      expect(check(uuid)).toBe(true);
      for (const text of [uuid.toUpperCase(), uuid.replaceAll('-', ''), `{${uuid}}`, `${uuid}\n`, ''])
        expect(check(text), text).toBe(false);
    }
  });

  it('refuse text keys that are blank for any peer, hold U+0000 or half a character', () => {
    for (const key of ['a', ' a ', '<b>', '\u2028x', '😀', '0']) expect(isTextKey(key), key).toBe(true);
    for (const key of ['', ' ', '\t\n', '\u00a0', '\u0085', '\u001c', '\u3000', 'a\0b', '\ud800'])
      expect(isTextKey(key), JSON.stringify(key)).toBe(false);
  });

  it('know column names, hashes and well-formed text', () => {
    for (const name of ['a', '_sync_scope_id', '0', '__proto__']) expect(isColumnName(name)).toBe(true);
    for (const name of ['', 'A', 'a-b', 'é']) expect(isColumnName(name)).toBe(false);
    expect(isSha256Hex('0'.repeat(64))).toBe(true);
    expect(isSha256Hex('A'.repeat(64))).toBe(false);
    expect(isWellFormed('😀')).toBe(true);
    expect(isWellFormed('\ude00')).toBe(false);
  });
});
