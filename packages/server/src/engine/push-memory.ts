import { LACKING_FUNCTIONS_PAUSE_MS, REMEMBERED_PUSHES_MAX, REMEMBERED_SCOPES_MAX } from '../limits.ts';
import type { ApplyGroup } from '../rules/push-apply-sql.ts';
import type { Catalog } from '../rules/table-description.ts';
import type { SyncContext } from './context.ts';

/** A push that this process has staged whole, in one small chunk. */
export interface StagedSmallPush {
  /** What its row literals were made with. */
  readonly catalog: Catalog;
  readonly groups: readonly ApplyGroup[];
  readonly rowCount: number;
  /** Bytes of its canonical rows. */
  readonly stagedBytes: number;
  readonly sourceBundleId: bigint;
}

/**
 * What this process remembers of its scopes and pushes, so that the statements of a small push can be put together before anything was
 * read. Only a help: the statements check it, and what is not remembered goes the ordinary way.
 */
export class PushMemory {
  readonly #scopePks = new Map<string, string>();
  readonly #pushes = new Map<string, StagedSmallPush>();
  readonly #refused = new WeakMap<Catalog, Set<string>>();
  #functionsLackedUntil = Number.NEGATIVE_INFINITY;

  /** The functions of small pushes were not there for this server's role a moment ago; a bootstrap or a GRANT may bring them back. */
  get lacksFunctions(): boolean {
    return performance.now() < this.#functionsLackedUntil;
  }

  noteLackingFunctions(): void {
    this.#functionsLackedUntil = performance.now() + LACKING_FUNCTIONS_PAUSE_MS;
  }

  getScopePk(scopeId: string): string | undefined {
    return this.#scopePks.get(scopeId);
  }

  noteScope(scopeId: string, scopePk: string): void {
    keep(this.#scopePks, scopeId, scopePk, REMEMBERED_SCOPES_MAX);
  }

  getPush(pushId: string): StagedSmallPush | undefined {
    return this.#pushes.get(pushId);
  }

  notePush(pushId: string, push: StagedSmallPush): void {
    keep(this.#pushes, pushId, push, REMEMBERED_PUSHES_MAX);
  }

  forgetPush(pushId: string): void {
    this.#pushes.delete(pushId);
  }

  /** Whether pushes of this kind were not plain before: triggers or cascades touch other rows, as they will again. */
  isRefused({ catalog, groups }: StagedSmallPush): boolean {
    const refused = this.#refused.get(catalog);
    return refused !== undefined && groups.some((group) => refused.has(nameKind(group)));
  }

  refuse({ catalog, groups }: StagedSmallPush): void {
    const refused = this.#refused.get(catalog) ?? new Set<string>();
    for (const group of groups) refused.add(nameKind(group));
    this.#refused.set(catalog, refused);
  }
}

function nameKind({ op, tableId }: ApplyGroup): string {
  return `${op} ${tableId}`;
}

function keep<Value>(map: Map<string, Value>, key: string, value: Value, sizeMax: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= sizeMax) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}

const byServer = new WeakMap<object, PushMemory>();

/** The memory of a server; the scope queue stands for the server, as each has exactly one. */
export function getPushMemory(ctx: Pick<SyncContext, 'queue'>): PushMemory {
  let memory = byServer.get(ctx.queue);
  if (memory === undefined) byServer.set(ctx.queue, (memory = new PushMemory()));
  return memory;
}
