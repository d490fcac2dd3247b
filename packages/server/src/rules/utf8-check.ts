/** Whether bytes are UTF-8 throughout; looked up at run time, because the core is not tied to Node. */
export const isUtf8: (bytes: Uint8Array) => boolean = findNativeCheck() ?? decodes;

function findNativeCheck(): ((bytes: Uint8Array) => boolean) | undefined {
  if (typeof process === 'undefined' || typeof process.getBuiltinModule !== 'function') return undefined;
  const { isUtf8: check } = process.getBuiltinModule('node:buffer');
  return typeof check === 'function' ? (bytes) => check(bytes) : undefined;
}

function decodes(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
