const ids = new WeakMap<object, string>();
let count = 0;

/** An id for a database in memory: that of its handle. */
export function handleId(handle: object): string {
  const known = ids.get(handle);
  if (known !== undefined) return known;
  count += 1;
  const id = `memory:${count}`;
  ids.set(handle, id);
  return id;
}
