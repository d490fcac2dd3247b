import type { Catalog } from '../rules/table-description.ts';
import type { SyncContext } from './context.ts';

type CatalogReader = Pick<SyncContext, 'catalog' | 'refreshCatalog'>;

/** The catalog that an attempt begins with; none before bootstrap. */
export function getCatalogInUse(ctx: CatalogReader): Catalog | undefined {
  try {
    return ctx.catalog();
  } catch {
    return undefined;
  }
}

/**
 * Whether there is another catalog now than `used`, after looking at the database if nobody has noticed a change before. A request that
 * fails on a changed table is often not the first one: the look of an earlier one has replaced the catalog then, and finds no change
 * any more.
 */
export async function hasCatalogChanged(ctx: CatalogReader, used: Catalog | undefined): Promise<boolean> {
  if (getCatalogInUse(ctx) !== used) return true;
  return (await ctx.refreshCatalog()) || getCatalogInUse(ctx) !== used;
}
