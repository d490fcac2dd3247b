import type { ConflictContext, Resolution, Resolver, RowValues } from '@oversync/client';

/** One decision, for the output. */
export interface ConflictNote {
  readonly place: string;
  readonly local: string;
  readonly server: string;
  readonly decision: string;
}

export interface ConflictRule {
  readonly resolver: Resolver;
  /** Every decision so far, oldest first. */
  readonly notes: readonly ConflictNote[];
}

/** The rule in one sentence, for the output. */
export const RULE_TEXT = 'of two edits the one with the newer updated_at wins, and an edit wins over a deletion';

/** A conflict rule as an application would write it: it sees both rows, and decides by their contents. */
export function createNewestWins(): ConflictRule {
  const notes: ConflictNote[] = [];
  const resolver = (conflict: ConflictContext): Resolution => {
    const resolution = decide(conflict);
    notes.push({
      place: readText(conflict.local ?? conflict.server, 'name') || conflict.key,
      local: describe(conflict.local),
      server: describe(conflict.server),
      decision: resolution.kind === 'acceptServer' ? "the other device's row" : "this device's row",
    });
    return resolution;
  };
  return { resolver, notes };
}

function decide({ local, server }: ConflictContext): Resolution {
  if (local === null) return { kind: 'acceptServer' };
  if (server === null) return { kind: 'recreate' };
  return readInstant(local) > readInstant(server) ? { kind: 'keepLocal' } : { kind: 'acceptServer' };
}

function describe(row: RowValues | null): string {
  return row === null ? 'deleted' : `edited ${new Date(readInstant(row)).toISOString().slice(0, 19)}`;
}

function readInstant(row: RowValues): number {
  return Date.parse(readText(row, 'updated_at'));
}

function readText(row: RowValues | null, column: string): string {
  const value = row?.[column];
  return typeof value === 'string' ? value : '';
}
