/**
 * A slow reader made of other parts than the real one: it splits the whole text into tokens by one expression, lets
 * the engine judge each scalar, and keeps members in a `Map`. Gives the compact text of the document, or `undefined`
 * where the contract refuses it.
 */
export function readTokens(text: string, depthMax: number): string | undefined {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+|[\s\S]/gu) ?? [];
  const reader = new TokenReader(
    tokens.filter((token) => !/^[ \t\n\r]$/.test(token)),
    depthMax,
  );
  try {
    return text.isWellFormed() ? reader.readDocument() : undefined;
  } catch {
    return undefined;
  }
}

class TokenReader {
  readonly #tokens: string[];
  readonly #depthMax: number;

  constructor(tokens: string[], depthMax: number) {
    this.#tokens = tokens;
    this.#depthMax = depthMax;
  }

  readDocument(): string {
    const value = this.#readValue(0);
    if (this.#tokens.length > 0) throw new SyntaxError('trailing data');
    return value;
  }

  #take(...allowed: readonly string[]): string {
    const token = this.#tokens.shift() ?? '';
    if (!allowed.includes(token)) throw new SyntaxError(token);
    return token;
  }

  #readValue(depth: number): string {
    const [token = ''] = this.#tokens;
    if (token !== '{' && token !== '[') return this.#readScalar();
    if (depth === this.#depthMax) throw new RangeError('too deep');
    this.#tokens.shift();
    return token === '{' ? this.#readMembers(depth + 1) : this.#readItems(depth + 1);
  }

  #readItems(depth: number): string {
    const items: string[] = [];
    if (this.#tokens[0] === ']') return `[${items.join(',')}${this.#take(']')}`;
    do items.push(this.#readValue(depth));
    while (this.#take(',', ']') === ',');
    return `[${items.join(',')}]`;
  }

  #readMembers(depth: number): string {
    const members = new Map<string, string>();
    if (this.#tokens[0] === '}') return `{${this.#take('}')}`;
    do {
      const name = this.#readScalar();
      if (!name.startsWith('"') || members.has(name)) throw new SyntaxError(name);
      this.#take(':');
      members.set(name, this.#readValue(depth));
    } while (this.#take(',', '}') === ',');
    return `{${inObjectOrder(members).join(',')}}`;
  }

  /** A string in its shortest spelling, anything else as it stands. */
  #readScalar(): string {
    const token = this.#tokens.shift() ?? '';
    const value: unknown = JSON.parse(token);
    if (typeof value === 'object' && value !== null) throw new SyntaxError(token);
    if (typeof value !== 'string') return token;
    if (!value.isWellFormed()) throw new SyntaxError(token);
    return JSON.stringify(value);
  }
}

/** Objects list members that look like array indexes first, by number. */
function inObjectOrder(members: ReadonlyMap<string, string>): readonly string[] {
  const indexOf = (name: string): number => (/^"(?:0|[1-9]\d{0,8})"$/.test(name) ? Number(name.slice(1, -1)) : Infinity);
  const sorted = [...members].toSorted(([a], [b]) => (indexOf(a) === indexOf(b) ? 0 : indexOf(a) - indexOf(b)));
  return sorted.map(([name, value]) => `${name}:${value}`);
}
