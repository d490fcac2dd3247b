/** A value as a driver returns it. */
type CellValue = null | string | bigint | number | Uint8Array;

type Rows = readonly (readonly CellValue[])[];

/** Whether two results hold the same values in the same order. NaN equals NaN; 0 and -0 differ, as their bits do. */
export function areRowsEqual(a: Rows, b: Rows): boolean {
  if (a.length !== b.length) return false;
  return a.every((row, index) => isRowEqual(row, b[index]));
}

function isRowEqual(a: readonly CellValue[], b: readonly CellValue[] | undefined): boolean {
  if (a.length !== b?.length) return false;
  return a.every((value, index) => isCellEqual(value, b[index]));
}

function isCellEqual(a: CellValue, b: CellValue | undefined): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return areBytesEqual(a, b);
  return Object.is(a, b);
}

function areBytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
