import {
  canonicalJson,
  checkBooleanBridge,
  checkDecimalText,
  checkFloatText,
  checkIntegerText,
  CONTRACT_ID,
  createSha256,
  decodeBase64,
  encodeBase64,
  formatFloat,
  isJsonObject,
  parseCapabilities,
  parseJson,
  PROTOCOL_VERSION,
  RowHasher,
  stringifyJson,
} from '@oversync/protocol';
import type { JsonObject, JsonValue, NumberCategory } from '@oversync/protocol';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { hasContracts, loadFixtures } from './fixtures.ts';

const INTEGER_RANGES: Readonly<Record<string, readonly [bigint, bigint]>> = {
  int2: [-32768n, 32767n],
  int4: [-2147483648n, 2147483647n],
  int8: [-(2n ** 63n), 2n ** 63n - 1n],
};

function object(value: JsonValue | undefined): JsonObject {
  if (!isJsonObject(value)) throw new TypeError('object expected in the fixture');
  return value;
}

function text(value: JsonValue | undefined): string {
  if (typeof value !== 'string') throw new TypeError('text expected in the fixture');
  return value;
}

/** The fixture through our own reader, so that numbers in it keep their kind. */
function cases(fixture: JsonObject, name: string): readonly (readonly [string, JsonObject])[] {
  const list = fixture[name];
  if (!Array.isArray(list) || list.length === 0) throw new TypeError(`no ${name} in the fixture`);
  return list.map((item) => [text(object(item)['name']), object(item)]);
}

function judge(family: string, value: JsonValue): NumberCategory | null {
  switch (family) {
    case 'integer':
      return checkIntegerText(value, ...(INTEGER_RANGES['int8'] ?? [0n, 0n]));
    case 'decimal':
      return checkDecimalText(value);
    case 'float':
      return checkFloatText(value, 'float8');
    case 'boolean':
      return checkBooleanBridge(value);
    default:
      throw new TypeError(`unknown family ${family}`);
  }
}

/** What a client uploads for a REAL column, and what a server makes of it for the destination. */
function spellFloat(source: string, destination: string): string {
  return formatFloat(destination === 'float4' ? Math.fround(Number(source)) : Number(source));
}

describe.skipIf(!hasContracts)('contract: canonical-json', () => {
  const files = loadFixtures('canonical-json').map((file) => ({
    name: file.name,
    content: object(parseJson(readFileSync(file.path, 'utf8'), { depthMax: 64 })),
  }));

  it('holds at least one file', () => expect(files.length).toBeGreaterThan(0));

  describe.each(files)('$name', ({ content: fixture }) => {
    it('is the contract that this library implements', () => {
      expect(fixture['contract_id']).toBe(CONTRACT_ID);
      expect(fixture['required_protocol_version']).toBe(PROTOCOL_VERSION);
    });

    it.each(cases(fixture, 'integer_cases'))('[T114] [K11] integer %s passes the grammar in both directions', (_name, item) => {
      const range = INTEGER_RANGES[text(item['postgres_destination'])] ?? [1n, 0n];
      const uploaded = text(item['uploaded_wire']);
      expect(BigInt(text(object(item['local_sqlite'])['value_text'])).toString()).toBe(uploaded);
      expect(checkIntegerText(uploaded, ...range)).toBeNull();
      expect(item['committed_server']).toBe(uploaded);
    });

    it.each(cases(fixture, 'decimal_cases'))('[T114] decimal %s is carried as the text it is', (_name, item) => {
      expect(item['uploaded_wire']).toBe(object(item['local_sqlite'])['value_text']);
      expect(checkDecimalText(text(item['uploaded_wire']))).toBeNull();
      expect(checkDecimalText(text(item['committed_server']))).toBeNull();
    });

    it.each(cases(fixture, 'float_cases'))('[T114] [K11] float %s has the spelling of the contract', (_name, item) => {
      const destination = text(item['postgres_destination']);
      const width = destination === 'float4' ? 'float4' : 'float8';
      const uploaded = text(item['uploaded_wire']);
      expect(formatFloat(Number(text(object(item['local_sqlite'])['value_text'])))).toBe(uploaded);
      expect(checkFloatText(uploaded, width)).toBeNull();
      expect(spellFloat(uploaded, destination)).toBe(item['committed_server']);
      expect(checkFloatText(text(item['committed_server']), width)).toBeNull();
    });

    it.each(cases(fixture, 'boolean_cases'))('[T114] boolean %s crosses the bridge', (_name, item) => {
      const uploaded = text(item['uploaded_wire']);
      expect(checkBooleanBridge(uploaded)).toBeNull();
      expect(checkBooleanBridge(item['committed_server'] ?? null)).toBeNull();
      expect(uploaded === '1').toBe(item['committed_server']);
    });

    it.each(cases(fixture, 'replay_cases'))('[T114] replay %s uploads the frozen values in their spelling', (_name, item) => {
      const [frozen, uploaded, committed] = [
        object(item['frozen_local']),
        object(item['uploaded_wire']),
        object(item['committed_server']),
      ];
      expect(frozen['amount']).toBe(uploaded['amount']);
      expect(formatFloat(Number(stringifyJson(frozen['ratio'] ?? null)))).toBe(uploaded['ratio']);
      expect(spellFloat(text(uploaded['ratio']), 'float4')).toBe(committed['ratio']);
      const isUnchanged = canonicalJson(frozen) === canonicalJson(object(item['live_local']));
      expect(isUnchanged).toBe(item['decision'] === 'apply_committed_and_clear_dirty');
    });

    it.each(cases(fixture, 'invalid_cases'))('[T114] %s is refused with its category', (_name, item) => {
      expect(judge(text(item['family']), item['input'] ?? null)).toBe(item['category']);
    });

    it.each(Object.entries(object(fixture['canonical_examples'])))(
      '[T114] [T117] vector %s has the bytes and the hash',
      (_name, value) => {
        const vector = object(value);
        const canonical = text(vector['canonical_bytes']);
        const parsed = parseJson(canonical, { depthMax: 64 });
        expect(canonicalJson(reverseMembers(parsed))).toBe(canonical);
        expect(encodeBase64(new TextEncoder().encode(canonical))).toBe(vector['utf8_base64']);
        expect(new TextDecoder().decode(decodeBase64(text(vector['utf8_base64'])) ?? undefined)).toBe(canonical);
        const hash = createSha256();
        hash.update(canonical);
        expect(hash.digestHex()).toBe(vector['sha256']);
        if (Array.isArray(parsed)) expect(hashRows(parsed)).toBe(vector['sha256']);
      },
    );

    it.each(cases(object(fixture['protocol']), 'updated_client_rejections'))('%s stops before anything else', (_name, item) => {
      const read = (): unknown => parseCapabilities({ protocol_version: item['actual'] ?? null });
      expect(read).toThrow(expect.objectContaining({ code: item['category'] }));
    });
  });
});

/** The same value with its members in another order. */
function reverseMembers(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(reverseMembers);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([name, member]) => [name, reverseMembers(member)]),
  );
}

function hashRows(rows: readonly JsonValue[]): string {
  const hasher = new RowHasher();
  for (const row of rows) hasher.addRow(canonicalJson(row));
  return hasher.digestHex();
}
