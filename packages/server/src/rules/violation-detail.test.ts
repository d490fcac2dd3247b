import { describe, expect, it } from 'vitest';

import { parseKeyDetail } from './violation-detail.ts';

describe('the key in the detail of a fault', () => {
  it.each([
    ['Key (_sync_scope_id, email)=(s1, a@b.c) already exists.', ['_sync_scope_id', 'email'], 's1, a@b.c'],
    ['Schlüssel »(a)=(1)« existiert bereits.', ['a'], '1'],
    ['Key (_sync_scope_id, "Odd, name")=(s1, x) already exists.', ['_sync_scope_id', 'Odd, name'], 's1, x'],
    ['Key (a)=((1)=(2)) already exists.', ['a'], '(1)=(2)'],
    ['Key (a, b)=(line\nbreak, null) is not present in table "posts".', ['a', 'b'], 'line\nbreak, null'],
    [
      'Key (_sync_scope_id, room)=(s1, 7) conflicts with existing key (_sync_scope_id, room)=(s1, 8).',
      ['_sync_scope_id', 'room'],
      's1, 7',
    ],
  ])('%s', (detail, columns, values) => {
    expect(parseKeyDetail(detail)).toEqual({ columns, values });
  });

  it.each([undefined, '', 'Failing row contains (s1, 1, null).', 'Key (lower(email))=(x) already exists.'])(
    '%j names none',
    (detail) => {
      expect(parseKeyDetail(detail)).toBeNull();
    },
  );
});
