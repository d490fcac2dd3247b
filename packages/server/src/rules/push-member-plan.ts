import { formatColumnSet } from './push-column-set.ts';
import type { ApplyForm } from './push-column-set.ts';
import type { ColumnSlot, TableCodec } from './push-table-codec.ts';

/** Fields of a row literal that no member fills; -1 stands for a column that is left out. */
export const SCOPE_SOURCE = -2;
export const KEY_SOURCE = -3;

/**
 * How to read payloads that have the same members in the same order. Rows of one client nearly always do, so the names are looked
 * up once and each further row only compares them.
 */
export interface MemberPlan {
  readonly names: readonly string[];
  /** Same index as `names`; `null` where the value is ignored because PostgreSQL generates the column. */
  readonly slots: readonly (ColumnSlot | null)[];
  /** Some value belongs to a generated column and may be any JSON. */
  readonly ignoresValues: boolean;
  /** First name that is no published column. */
  readonly unknownName: string | undefined;
  /** Members already stand in canonical order. */
  readonly isSorted: boolean;
  /** Indexes into `names` in canonical order. */
  readonly sortedIndexes: readonly number[];
  /** A column that an INSERT has to name and these members do not. */
  readonly missingColumn: string | undefined;
  readonly form: ApplyForm;
  /** Per field of the row literal: index into `names`, or one of the places below. */
  readonly fieldSources: readonly number[];
  readonly insertSet: string;
  readonly updateSet: string;
}

export function createMemberPlan(codec: TableCodec, names: readonly string[]): MemberPlan {
  const found = names.map((name) => codec.slots.get(name));
  const slots = found.map((slot) => (slot === undefined || slot.column.isGenerated ? null : slot));
  const named = new Set(names);
  const isGiven = (name: string): boolean => named.has(name) && codec.slots.get(name)?.column.isGenerated === false;
  const form = codec.table.literalColumns.every(isGiven) ? 'l' : 'j';
  const positions = slots.flatMap((slot) => (slot === null || slot.isKey ? [] : [slot.position]));
  const sortedIndexes = names.map((_, index) => index).toSorted((a, b) => compareNames(names[a] ?? '', names[b] ?? ''));
  return {
    names,
    slots,
    ignoresValues: slots.includes(null),
    unknownName: names.find((_, index) => found[index] === undefined),
    isSorted: sortedIndexes.every((index, place) => index === place),
    sortedIndexes,
    missingColumn: codec.requiredColumns.find((name) => !named.has(name)),
    form,
    fieldSources: listFieldSources(codec, slots),
    insertSet: formatColumnSet(form, [codec.keyPosition, ...positions]),
    updateSet: formatColumnSet(form, positions),
  };
}

function listFieldSources(codec: TableCodec, slots: readonly (ColumnSlot | null)[]): readonly number[] {
  return codec.table.rowColumns.map((_, position) => {
    if (position === codec.scopePosition) return SCOPE_SOURCE;
    if (position === codec.keyPosition) return KEY_SOURCE;
    return slots.findIndex((slot) => slot?.position === position);
  });
}

function compareNames(a: string, b: string): number {
  return a < b ? -1 : 1;
}

/** Remembers the plans of one chunk and table. */
export class MemberPlans {
  readonly #codec: TableCodec;
  readonly #plans = new Map<string, MemberPlan>();
  #last: MemberPlan | undefined;

  constructor(codec: TableCodec) {
    this.#codec = codec;
  }

  get(names: readonly string[]): MemberPlan {
    const last = this.#last;
    if (last !== undefined && areEqual(last.names, names)) return last;
    const signature = names.join('\0');
    let plan = this.#plans.get(signature);
    if (plan === undefined) {
      plan = createMemberPlan(this.#codec, names);
      this.#plans.set(signature, plan);
    }
    this.#last = plan;
    return plan;
  }
}

function areEqual(left: readonly string[], right: readonly string[]): boolean {
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index += 1) if (left[index] !== right[index]) return false;
  return true;
}
