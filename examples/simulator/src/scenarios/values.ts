import { deepStrictEqual, equal } from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';

import { addFile, addReview, keyBytes } from '../domain.ts';
import { assertEqual, assertServerCounts } from '../verify.ts';
import type { Scenario } from './scenario.ts';

/** Bytes that break codecs: nothing, text, an image's head, bytes whose hex digits are valid base64, a lot. */
const CONTENTS: readonly Uint8Array[] = [
  new TextEncoder().encode('Hello, 世界 🌍\n'),
  Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0xff),
  Uint8Array.of(0xab, 0xcd, 0xef, 0x12),
  new Uint8Array(0),
];

/** Files of several kinds, reviews that go with them, and another user who has files too. */
export const filesSync: Scenario = async (simulation) => {
  const [user, other] = [simulation.newUser(), simulation.newUser()];
  const [first, second] = [await simulation.device('first', user), await simulation.device('second', user)];
  const stranger = await simulation.device('stranger', other);
  await stranger.write((tx) => addFile(tx, 'private', randomBytes(100_000)));
  await stranger.client.sync();
  const ids: string[] = [];
  await first.write(async (tx) => {
    for (const [index, data] of CONTENTS.entries()) ids.push(await addFile(tx, `file-${index}`, data));
    for (const index of [0, 0, 1, 2, 2, 3]) await addReview(tx, ids[index] ?? '', `review of file-${index}`);
  });
  await first.client.sync();
  await second.client.sync();
  for (const [index, data] of CONTENTS.entries()) {
    const [row = []] = await second.driver.all('SELECT data FROM files WHERE id = ?', [keyBytes(ids[index] ?? '')]);
    deepStrictEqual(Uint8Array.from(Buffer.from(row[0] instanceof Uint8Array ? row[0] : 'x')), Uint8Array.from(data));
  }
  await second.run('DELETE FROM files WHERE id = ?', keyBytes(ids[0] ?? ''));
  await second.client.sync();
  await first.client.sync();
  await assertServerCounts(simulation, user, { files: 3, file_reviews: 4 });
  await assertServerCounts(simulation, other, { files: 1, file_reviews: 0 });
  await assertEqual(simulation, user, [first, second]);
  await assertEqual(simulation, other, [stranger]);
};

const INSERT_TYPED = `INSERT INTO typed_rows(id, name, note, count_value, small_count, medium_count, exact_amount, enabled_flag, rating,
  float4_value, data, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/** Every kind of value at its edge, and a row with none. */
export const typedRows: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const [first, second] = [await simulation.device('first', user), await simulation.device('second', user)];
  const [empty, rich, least] = [randomUUID(), randomUUID(), randomUUID()];
  await first.write(async (tx) => {
    await tx.run(INSERT_TYPED, [empty, 'empty', null, null, null, null, null, 0n, null, null, null, null]);
    const counts = [9_223_372_036_854_775_807n, 32_767n, 2_147_483_647n] as const;
    const bytes = Uint8Array.of(0, 1, 254, 255);
    const time = '2026-03-24T18:42:11.123456Z';
    const amount = '12345678901234567890.0123456789';
    await tx.run(INSERT_TYPED, [rich, 'rich', 'a note', ...counts, amount, 1n, Number.MAX_VALUE, 1.25, bytes, time]);
    const lows = [-9_223_372_036_854_775_808n, -32_768n, -2_147_483_648n] as const;
    await tx.run(INSERT_TYPED, [
      least,
      'least',
      '',
      ...lows,
      '-0.0000000001',
      0n,
      Number.MIN_VALUE,
      -0.5,
      new Uint8Array(0),
      time,
    ]);
  });
  equal((await first.client.sync()).push.outcome, 'committed');
  equal((await first.client.sync()).push.outcome, 'no_change', 'a second push');
  await second.client.sync();
  equal((await second.client.sync()).push.outcome, 'no_change', 'a push of what was only received');
  const exact = `SELECT count_value::text, exact_amount::text, rating::text, enabled_flag::text, encode(data, 'hex')
    FROM business.typed_rows WHERE _sync_scope_id = $1 AND id = $2::uuid`;
  deepStrictEqual(await simulation.environment.query(exact, [user, rich]), [
    ['9223372036854775807', '12345678901234567890.0123456789', '1.7976931348623157e+308', 'true', '0001feff'],
  ]);
  deepStrictEqual(await simulation.environment.query(exact, [user, least]), [
    ['-9223372036854775808', '-0.0000000001', '5e-324', 'false', ''],
  ]);
  deepStrictEqual(await simulation.environment.query(exact, [user, empty]), [[null, null, null, 'false', null]]);
  await assertEqual(simulation, user, [first, second]);
};
