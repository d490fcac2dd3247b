import { array, assert, constantFrom, option, property, record, string } from 'fast-check';
import { describe, expect, test } from 'vitest';

import { openLocal } from '../store/test-local.ts';
import type { LocalTable } from './local-schema.ts';
import { SentForm } from './sent-form.ts';
import { ServedForm } from './served-form.ts';

const tableOf = async (ddl: string, jsonColumns: string[] = []): Promise<LocalTable> => {
  const { schema } = await openLocal(ddl, { tables: [{ tableName: 't', syncKeyColumnName: 'id', jsonColumns }] });
  const table = schema.tablesByName.get('t');
  if (table === undefined) throw new Error('no table');
  return table;
};

const DDL = 'CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a BOOLEAN, b INTEGER, name TEXT)';

describe('the form in which a server is going to serve a payload', () => {
  test('columns that are declared boolean come back as true and false', async () => {
    const form = new ServedForm(await tableOf(DDL));
    expect(form.of('{"a":"1","b":"1","id":"x","name":"n"}')).toBe('{"a":true,"b":"1","id":"x","name":"n"}');
    expect(form.of('{"a":"0","b":"0","id":"x","name":"n"}')).toBe('{"a":false,"b":"0","id":"x","name":"n"}');
    expect(form.of('{"a":null,"b":"7","id":"x","name":"n"}')).toBe('{"a":null,"b":"7","id":"x","name":"n"}');
    expect(form.of('{"a":"2","b":"7","id":"x","name":"n"}')).toBe('{"a":"2","b":"7","id":"x","name":"n"}');
  });

  test('a served row shows which columns are boolean there, whatever they are declared as', async () => {
    const form = new ServedForm(await tableOf(DDL));
    expect(form.learn('{"a":"1","b":true,"id":"x","name":"n"}')).toBe(true);
    expect(form.of('{"a":"0","b":"0","id":"x","name":"n"}')).toBe('{"a":"0","b":false,"id":"x","name":"n"}');
    expect(form.learn('{"a":"0","b":false,"id":"y","name":"n"}')).toBe(false);
    expect(form.learn('{"a":null,"b":null,"id":"z","name":"n"}')).toBe(false);
    expect(form.learn('{"id":"z"}')).toBe(false);
    expect(form.of('{"b":"1"}')).toBe('{"b":true}');
  });

  test('text that looks like a member stays what it is', async () => {
    const form = new ServedForm(await tableOf(DDL));
    expect(form.of(String.raw`{"b":"7","id":"x","name":"\"a\":\"1\""}`)).toBe(
      String.raw`{"b":"7","id":"x","name":"\"a\":\"1\""}`,
    );
  });

  test('tables with nested values are not proved by a hash, which takes their numbers as binary64', async () => {
    const form = new ServedForm(await tableOf('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, b BOOLEAN, doc TEXT)', ['doc']));
    expect(form.isProvable).toBe(false);
    expect(form.learn('{"b":"1","doc":{},"id":"x"}')).toBe(false);
  });

  test('[I9] it is undone by the form in which a payload was sent', async () => {
    const table = await tableOf(DDL);
    const served = new ServedForm(table);
    const sent = new SentForm(table);
    const payload = record({
      a: option(constantFrom('0', '1', '2')),
      b: option(constantFrom('0', '1', '-7')),
      id: string(),
      name: option(
        array(constantFrom('"', 'a', ':', '"a":"1"', '"b":true', '\\'), { maxLength: 6 }).map((parts) => parts.join('')),
      ),
    });
    assert(
      property(payload, (row) => {
        const text = JSON.stringify(row);
        expect(sent.of(served.of(text))).toBe(text);
        const isFlag = row.a === '0' || row.a === '1';
        expect(JSON.parse(served.of(text))).toEqual(isFlag ? { ...row, a: row.a === '1' } : row);
      }),
    );
  });
});
