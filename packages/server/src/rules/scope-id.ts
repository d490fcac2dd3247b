export type ScopeIdFault = 'blank_scope' | 'scope_too_long' | 'scope_nul';

/** Why a scope id cannot be stored; `undefined` for a usable one. Text that is no valid Unicode counts as `scope_nul`. */
export function findScopeIdFault(scopeId: unknown, bytesMax: number): ScopeIdFault | undefined {
  if (typeof scopeId !== 'string' || scopeId.trim() === '') return 'blank_scope';
  if (scopeId.includes('\0') || !scopeId.isWellFormed()) return 'scope_nul';
  return new TextEncoder().encode(scopeId).byteLength > bytesMax ? 'scope_too_long' : undefined;
}
