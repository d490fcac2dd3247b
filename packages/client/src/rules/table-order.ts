/** A table as far as the order needs it; `parents` are the wire names of the tables its foreign keys refer to. */
export interface OrderedTable {
  readonly wireName: string;
  readonly parents: readonly string[];
}

export interface TablePlace {
  readonly order: number;
  readonly group: number;
  readonly isGroupIndivisible: boolean;
}

/**
 * The table order of client.md 5.8: parents first, ties in configuration order; tables of one cycle stand together in configuration
 * order, after everything that does not wait for them. Also numbers the cycles.
 */
export function orderTables(tables: readonly OrderedTable[]): ReadonlyMap<string, TablePlace> {
  const reachable = reachability(tables);
  const isCycle = (a: string, b: string): boolean => a === b || (reaches(reachable, a, b) && reaches(reachable, b, a));
  const places = new Map<string, TablePlace>();
  let waiting = [...tables];
  let group = 0;
  while (waiting.length > 0) {
    const [first] = waiting.filter((table) => isReady(table, places, isCycle, waiting));
    if (first === undefined) throw new Error('the table order has no start');
    const members = waiting.filter((table) => isCycle(table.wireName, first.wireName));
    const isIndivisible = members.length > 1 || first.parents.includes(first.wireName);
    for (const member of members) places.set(member.wireName, { order: places.size, group, isGroupIndivisible: isIndivisible });
    waiting = waiting.filter((table) => !members.includes(table));
    group += 1;
  }
  return places;
}

/** Nothing outside its own cycle has to come first. A lone table is preferred to a cycle: cycles follow. */
function isReady(
  table: OrderedTable,
  places: ReadonlyMap<string, TablePlace>,
  isCycle: (a: string, b: string) => boolean,
  waiting: readonly OrderedTable[],
): boolean {
  if (!hasPlacedParents(table, places, isCycle, waiting)) return false;
  const isLone = (candidate: OrderedTable): boolean =>
    waiting.every((other) => other === candidate || !isCycle(other.wireName, candidate.wireName));
  if (isLone(table)) return true;
  return !waiting.some((other) => isLone(other) && hasPlacedParents(other, places, isCycle, waiting));
}

function hasPlacedParents(
  table: OrderedTable,
  places: ReadonlyMap<string, TablePlace>,
  isCycle: (a: string, b: string) => boolean,
  waiting: readonly OrderedTable[],
): boolean {
  const members = waiting.filter((other) => isCycle(other.wireName, table.wireName));
  return members.every((member) =>
    member.parents.every((parent) => places.has(parent) || isCycle(parent, table.wireName) || !isKnown(parent, waiting)),
  );
}

function isKnown(name: string, tables: readonly OrderedTable[]): boolean {
  return tables.some((table) => table.wireName === name);
}

function reaches(reachable: ReadonlyMap<string, ReadonlySet<string>>, from: string, to: string): boolean {
  return reachable.get(from)?.has(to) ?? false;
}

function reachability(tables: readonly OrderedTable[]): ReadonlyMap<string, ReadonlySet<string>> {
  const parentsOf = new Map(tables.map((table) => [table.wireName, table.parents]));
  const reachable = new Map<string, Set<string>>();
  for (const table of tables) {
    const seen = new Set<string>();
    const open = [...table.parents];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      open.push(...(parentsOf.get(next) ?? []));
    }
    reachable.set(table.wireName, seen);
  }
  return reachable;
}
