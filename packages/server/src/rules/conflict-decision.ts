/** What `row_state` says about a key. */
export type KeyState =
  | { readonly name: 'none' }
  | { readonly name: 'live'; readonly version: bigint }
  | { readonly name: 'tombstone'; readonly version: bigint };

export interface PushedVersion {
  readonly op: 'INSERT' | 'UPDATE' | 'DELETE';
  readonly baseRowVersion: bigint;
}

/**
 * Does a pushed row meet the row its writer has seen?
 *
 * | row                      | none                                     | live(v)                      | tombstone(v)                 |
 * | ------------------------ | ---------------------------------------- | ---------------------------- | ---------------------------- |
 * | INSERT, base 0           | accept                                   | conflict                     | conflict                     |
 * | INSERT, base b > 0       | accept if b ≤ retained floor, or conflict | conflict                     | accept if b = v, or conflict |
 * | UPDATE or DELETE, base b | conflict                                 | accept if b = v, or conflict | conflict                     |
 *
 * A tombstone at or below the floor may have been purged, so an INSERT on top of it is taken at its word. The commit asks the same
 * of all rows at once; `createConflictCondition` is this table in SQL.
 */
export function decideConflict(row: PushedVersion, key: KeyState, retainedFloor: bigint): 'accept' | 'conflict' {
  return isAccepted(row, key, retainedFloor) ? 'accept' : 'conflict';
}

function isAccepted({ op, baseRowVersion }: PushedVersion, key: KeyState, retainedFloor: bigint): boolean {
  if (op !== 'INSERT') return key.name === 'live' && key.version === baseRowVersion;
  switch (key.name) {
    case 'none':
      return baseRowVersion <= retainedFloor;
    case 'live':
      return false;
    case 'tombstone':
      return baseRowVersion > 0n && baseRowVersion === key.version;
  }
}
