import type { Catalog } from '../rules/table-description.ts';
import { createFastSha256 } from './platform-hash.ts';

const tags = new WeakMap<Catalog, string>();

/** Short form of the catalog's row layout, stored with a session: the literals staged under another tag have to be made again. */
export function getLayoutTag(catalog: Catalog): string {
  let tag = tags.get(catalog);
  if (tag === undefined) {
    const hash = createFastSha256();
    hash.update(catalog.rowLayout);
    tag = hash.digestHex();
    tags.set(catalog, tag);
  }
  return tag;
}
