import { LIMITS, parseJson } from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';

/** JSON texts that are wrong somewhere: types, signs, fractions, exponents, ranges, blank strings. */
export const ODD_VALUES: readonly string[] = [
  '""',
  '" "',
  '"x"',
  '"1"',
  '0',
  '-1',
  '1.0',
  '1e3',
  '1.5',
  '2147483648',
  '9007199254740991',
  '9007199254740992',
  '9223372036854775807',
  '9223372036854775808',
  '-9223372036854775808',
  'true',
  'false',
  '[]',
  '{}',
  '{"a":"b"}',
  '{"a":1}',
  '{"a":"b","c":"d"}',
  '"2026-07-22T12:00:00Z"',
  '"6df0d8dd-a84b-43b6-bbca-8de70432922a"',
];

/** Members of an object, each as JSON text. */
export type Members = Readonly<Record<string, string>>;

export function write(members: Members): string {
  return `{${Object.entries(members)
    .map(([name, value]) => `${JSON.stringify(name)}:${value}`)
    .join(',')}}`;
}

export function toMembers(body: object): Members {
  return Object.fromEntries(Object.entries(body).map(([name, value]) => [name, JSON.stringify(value)]));
}

/** The body itself, and every body with one member left out or replaced by each of the values. */
export function* vary(body: Members, values: readonly string[] = ODD_VALUES): Generator<string> {
  yield write(body);
  for (const name of Object.keys(body)) {
    const { [name]: _left, ...rest } = body;
    yield write(rest);
    for (const value of values) yield write({ ...body, [name]: value });
  }
}

/** Whether a function of the protocol package takes a text. */
export function accepts(parse: (json: JsonValue) => unknown, text: string): boolean {
  try {
    parse(parseJson(text, { depthMax: LIMITS.responseJsonDepthMax }));
    return true;
  } catch {
    return false;
  }
}
