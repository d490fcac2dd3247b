import { describe, expect, test } from 'vitest';

import { openLocal } from '../store/test-local.ts';
import { SentForm } from './sent-form.ts';

const formOf = async (ddl: string, jsonColumns: string[] = []): Promise<SentForm> => {
  const { schema } = await openLocal(ddl, { tables: [{ tableName: 't', syncKeyColumnName: 'id', jsonColumns }] });
  const table = schema.tablesByName.get('t');
  if (table === undefined) throw new Error('no table');
  return new SentForm(table);
};

describe('the form in which a committed payload would have been sent', () => {
  test('booleans of a server are the integers of a device', async () => {
    const form = await formOf('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a BOOLEAN, b INTEGER, name TEXT)');
    expect(form.of('{"a":true,"b":"7","id":"x","name":"n"}')).toBe('{"a":"1","b":"7","id":"x","name":"n"}');
    expect(form.of('{"a":false,"b":null,"id":"x","name":"n"}')).toBe('{"a":"0","b":null,"id":"x","name":"n"}');
  });

  test('text that looks like a member stays what it is', async () => {
    const form = await formOf('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, b BOOLEAN, name TEXT)');
    const payload = String.raw`{"b":"1","id":"x","name":"\"b\":true"}`;
    expect(form.of(payload)).toBe(payload);
    expect(form.of(String.raw`{"b":true,"id":"x","name":"\"b\":true"}`)).toBe(payload);
  });

  test('tables with nested values are compared as they are', async () => {
    const form = await formOf('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, b BOOLEAN, a TEXT)', ['a']);
    const payload = '{"a":{"b":true},"b":true,"id":"x"}';
    expect(form.of(payload)).toBe(payload);
  });
});
