/** One line of `EXPLAIN`, as far as it matters here. */
export interface ProgramStep {
  readonly opcode: string;
  readonly p1: number;
  readonly p2: number;
  readonly p3: number;
  readonly p5: number;
}

/** One b-tree of the schema: a table or an index, with the table it belongs to. */
export interface SchemaRoot {
  /** 0 = main, 1 = temp: the numbers of SQLite. */
  readonly database: number;
  readonly rootPage: number;
  readonly table: string;
}

/** What a statement can be seen to use. */
export interface SchemaRoots {
  readonly roots: readonly SchemaRoot[];
  /** Names of the virtual tables. Programs do not say which of them they use, nor which tables lie behind. */
  readonly virtualTables: readonly string[];
}

export interface TouchedTables {
  /** Lower-case names of the tables read; `null` when they cannot all be known, so that any of them may matter. */
  readonly read: ReadonlySet<string> | null;
  /** Lower-case names of the tables that may be written, by triggers and foreign-key actions too. */
  readonly written: ReadonlySet<string>;
}

/** `p2` holds a register instead of a page number: the b-tree is being created by the statement itself. */
const P2_IS_REGISTER = 0x10;

/**
 * The tables of a statement, found in the program SQLite made of it: views are resolved, an index counts as its table, tables without
 * rowid and sub-programs (triggers, foreign-key actions) are included. The name of a table in the text of a query never decides.
 */
export function touchedTables(program: readonly ProgramStep[], schema: SchemaRoots): TouchedTables {
  const read = new Set<string>();
  const written = new Set<string>();
  let isReadKnown = true;
  const virtualTables = schema.virtualTables.map((table) => table.toLowerCase());
  for (const step of program) {
    const use = useOf(step);
    if (use?.kind === 'readVirtual' && virtualTables.length > 0) isReadKnown = false;
    if (use?.kind === 'writeVirtual') for (const table of virtualTables) written.add(table);
    if (use?.kind !== 'read' && use?.kind !== 'write') continue;
    const table = tableAt(schema, use.database, use.rootPage);
    if (table !== null) (use.kind === 'write' ? written : read).add(table);
    else if (use.kind === 'read') isReadKnown = false;
  }
  return { read: isReadKnown ? read : null, written };
}

type Use =
  | { readonly kind: 'read' | 'write'; readonly database: number; readonly rootPage: number }
  | { readonly kind: 'readVirtual' | 'writeVirtual' };

function useOf(step: ProgramStep): Use | null {
  switch (step.opcode) {
    case 'OpenRead':
    case 'ReopenIdx':
      return (step.p5 & P2_IS_REGISTER) === 0 ? { kind: 'read', database: step.p3, rootPage: step.p2 } : null;
    case 'OpenWrite':
      return (step.p5 & P2_IS_REGISTER) === 0 ? { kind: 'write', database: step.p3, rootPage: step.p2 } : null;
    case 'Clear':
      return { kind: 'write', database: step.p2, rootPage: step.p1 };
    case 'VOpen':
      return { kind: 'readVirtual' };
    case 'VUpdate':
      return { kind: 'writeVirtual' };
    default:
      return null;
  }
}

/** Page 1 is the schema itself. */
const SCHEMA_PAGE = 1;

function tableAt(schema: SchemaRoots, database: number, rootPage: number): string | null {
  if (rootPage === SCHEMA_PAGE) return 'sqlite_schema';
  const found = schema.roots.find((root) => root.database === database && root.rootPage === rootPage);
  return found === undefined ? null : found.table.toLowerCase();
}
