import { describe, expect, test } from 'vitest';

import { orderTables } from './table-order.ts';

function order(...tables: [string, ...string[]][]): string[] {
  const places = orderTables(tables.map(([wireName, ...parents]) => ({ wireName, parents })));
  return [...places]
    .sort(([, a], [, b]) => a.order - b.order)
    .map(([name, { isGroupIndivisible }]) => (isGroupIndivisible ? `${name}*` : name));
}

describe('[T44] table order', () => {
  test('parents first, ties in configuration order', () => {
    expect(order(['c', 'b'], ['b', 'a'], ['x'], ['a'])).toEqual(['x', 'a', 'b', 'c']);
  });

  test('a self-reference is no obstacle, but its rows belong together', () => {
    expect(order(['categories', 'categories'], ['items', 'categories'])).toEqual(['categories*', 'items']);
  });

  test('members of a cycle stand together in configuration order, after everything that does not wait for them', () => {
    expect(order(['child', 'teams'], ['members', 'teams'], ['teams', 'members'], ['other'])).toEqual([
      'other',
      'members*',
      'teams*',
      'child',
    ]);
  });

  test('cycles of their own have numbers of their own', () => {
    const places = orderTables([
      { wireName: 'a', parents: ['b'] },
      { wireName: 'b', parents: ['a'] },
      { wireName: 'c', parents: ['d', 'a'] },
      { wireName: 'd', parents: ['c'] },
    ]);
    expect(places.get('a')?.group).toBe(places.get('b')?.group);
    expect(places.get('c')?.group).not.toBe(places.get('b')?.group);
    expect([...places.keys()]).toEqual(['a', 'b', 'c', 'd']);
  });

  test('a reference to a table that is not managed does not count', () => {
    expect(order(['a', 'elsewhere'])).toEqual(['a']);
  });
});
