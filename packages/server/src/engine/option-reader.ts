/** Reads untyped options one by one and collects every fault, so that a host sees all of them at once. */
export class OptionReader {
  readonly problems: string[];
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #prefix: string;

  constructor(options: unknown, names: readonly string[], prefix = '', problems: string[] = []) {
    this.problems = problems;
    this.#prefix = prefix;
    this.#values = this.#readValues(options, new Set(names));
  }

  report(problem: string): void {
    this.problems.push(`${this.#prefix}${problem}`);
  }

  integer(name: string, fallback: number, min: number, max: number): number {
    const value = this.#values.get(name);
    if (value === undefined) return fallback;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
    this.report(`${name} is not an integer between ${String(min)} and ${String(max)}`);
    return fallback;
  }

  /** `null` switches the limit off. */
  nullableInteger(name: string, fallback: number | null, max: number = Number.MAX_SAFE_INTEGER): number | null {
    const value = this.#values.get(name);
    if (value === null) return null;
    if (value === undefined) return fallback;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1 && value <= max) return value;
    this.report(`${name} is neither null nor an integer between 1 and ${String(max)}`);
    return fallback;
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.#values.get(name) ?? fallback;
    if (typeof value === 'boolean') return value;
    this.report(`${name} is not a boolean`);
    return fallback;
  }

  text(name: string, fallback: string): string {
    const value = this.#values.get(name) ?? fallback;
    if (typeof value === 'string') return value;
    this.report(`${name} is not a string`);
    return fallback;
  }

  /** The first choice is the default. */
  choice<const Choice extends string>(name: string, choices: readonly [Choice, ...Choice[]]): Choice {
    const value = this.#values.get(name);
    if (value === undefined) return choices[0];
    for (const choice of choices) if (choice === value) return choice;
    this.report(`${name} is not one of ${choices.join(', ')}`);
    return choices[0];
  }

  /** Whether the option is set to a function. */
  optionalFunction(name: string): boolean {
    const value = this.#values.get(name);
    if (value === undefined) return false;
    if (typeof value === 'function') return true;
    this.report(`${name} is not a function`);
    return false;
  }

  require(name: string, type: 'object' | 'function'): void {
    const value = this.#values.get(name);
    if (typeof value !== type || value === null) this.report(`${name} is required`);
  }

  group(name: string, names: readonly string[]): OptionReader {
    return new OptionReader(this.#values.get(name) ?? {}, names, `${name}.`, this.problems);
  }

  #readValues(options: unknown, names: ReadonlySet<string>): ReadonlyMap<string, unknown> {
    if (typeof options !== 'object' || options === null || Array.isArray(options)) {
      this.report('options are not an object');
      return new Map();
    }
    const values = new Map<string, unknown>(Object.entries(options));
    for (const name of values.keys()) if (!names.has(name)) this.report(`${name} is not a known option`);
    return values;
  }
}
