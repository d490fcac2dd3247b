import type { KeyState, PushedVersion } from './conflict-decision.ts';

export interface ConflictCase {
  readonly row: PushedVersion;
  readonly key: KeyState;
  readonly floor: bigint;
  readonly decision: 'accept' | 'conflict';
}

const NONE: KeyState = { name: 'none' };
const LIVE: KeyState = { name: 'live', version: 7n };
const TOMBSTONE: KeyState = { name: 'tombstone', version: 7n };

function create(
  op: PushedVersion['op'],
  baseRowVersion: bigint,
  key: KeyState,
  decision: ConflictCase['decision'],
  floor = 0n,
): ConflictCase {
  return { row: { op, baseRowVersion }, key, floor, decision };
}

/** Every cell of the table of protocol.md 10, with the versions on both sides of each border. */
export const CONFLICT_CASES: readonly ConflictCase[] = [
  create('INSERT', 0n, NONE, 'accept'),
  create('INSERT', 0n, NONE, 'accept', 9n),
  create('INSERT', 0n, LIVE, 'conflict'),
  create('INSERT', 0n, LIVE, 'conflict', 9n),
  create('INSERT', 0n, TOMBSTONE, 'conflict'),
  create('INSERT', 0n, TOMBSTONE, 'conflict', 9n),
  create('INSERT', 5n, NONE, 'conflict', 0n),
  create('INSERT', 5n, NONE, 'conflict', 4n),
  create('INSERT', 5n, NONE, 'accept', 5n),
  create('INSERT', 5n, NONE, 'accept', 6n),
  create('INSERT', 7n, LIVE, 'conflict'),
  create('INSERT', 5n, LIVE, 'conflict', 9n),
  create('INSERT', 6n, TOMBSTONE, 'conflict'),
  create('INSERT', 7n, TOMBSTONE, 'accept'),
  create('INSERT', 8n, TOMBSTONE, 'conflict'),
  create('INSERT', 6n, TOMBSTONE, 'conflict', 9n),
  ...(['UPDATE', 'DELETE'] as const).flatMap((op) => [
    create(op, 0n, NONE, 'conflict'),
    create(op, 7n, NONE, 'conflict'),
    create(op, 5n, NONE, 'conflict', 9n),
    create(op, 0n, LIVE, 'conflict'),
    create(op, 6n, LIVE, 'conflict'),
    create(op, 7n, LIVE, 'accept'),
    create(op, 8n, LIVE, 'conflict'),
    create(op, 6n, LIVE, 'conflict', 9n),
    create(op, 7n, TOMBSTONE, 'conflict'),
    create(op, 0n, TOMBSTONE, 'conflict'),
    create(op, 7n, TOMBSTONE, 'conflict', 9n),
  ]),
];
