import type { Operation } from '../engine/events.ts';

/** Operations that a client reaches through `/sync/*`. */
export type SyncOperation = Exclude<Operation, 'exec_write' | 'admin' | 'bootstrap' | 'maintenance' | 'health' | 'status'>;

type Methods = Readonly<Partial<Record<'GET' | 'POST' | 'DELETE', SyncOperation>>>;

interface Route {
  /** Segments below `/sync/`; `*` takes any one segment as the parameter. */
  readonly segments: readonly string[];
  readonly methods: Methods;
}

const ROUTES: readonly Route[] = [
  { segments: ['capabilities'], methods: { GET: 'capabilities' } },
  { segments: ['connect'], methods: { POST: 'connect' } },
  { segments: ['push-sessions'], methods: { POST: 'push_session_create' } },
  { segments: ['push-sessions', '*'], methods: { GET: 'push_session_status', DELETE: 'push_session_delete' } },
  { segments: ['push-sessions', '*', 'chunks'], methods: { POST: 'push_chunk' } },
  { segments: ['push-sessions', '*', 'commit'], methods: { POST: 'push_session_commit' } },
  { segments: ['committed-bundles', '*', 'rows'], methods: { GET: 'committed_bundle_rows' } },
  { segments: ['pull'], methods: { GET: 'pull' } },
  { segments: ['watch'], methods: { GET: 'bundle_change_watch' } },
  { segments: ['snapshot-sessions'], methods: { POST: 'snapshot_session_create' } },
  { segments: ['verify'], methods: { POST: 'verify' } },
  { segments: ['verify', 'rows'], methods: { POST: 'verify_rows' } },
  { segments: ['snapshot-sessions', '*'], methods: { GET: 'snapshot_chunk', DELETE: 'snapshot_session_delete' } },
];

const MOUNT_SEGMENT = 'sync';

export type RouteMatch =
  | { readonly kind: 'operation'; readonly operation: SyncOperation; readonly parameter: string }
  | { readonly kind: 'method_not_allowed'; readonly allow: string; readonly isWatch: boolean }
  | { readonly kind: 'not_found' };

/**
 * Finds the operation of a request. Whatever stands before `/sync/` is the host's mount and is not looked at, so the same
 * handler works below any prefix. The parameter is percent-decoded once.
 */
export function matchRoute(method: string, pathname: string): RouteMatch {
  const segments = pathname.split('/');
  for (let start = segments.lastIndexOf(MOUNT_SEGMENT); start > 0; start = segments.lastIndexOf(MOUNT_SEGMENT, start - 1)) {
    const below = segments.slice(start + 1);
    const route = ROUTES.find((candidate) => isMatch(candidate.segments, below));
    if (route !== undefined) return chooseMethod(route, method, below);
  }
  return { kind: 'not_found' };
}

function isMatch(pattern: readonly string[], segments: readonly string[]): boolean {
  if (pattern.length !== segments.length) return false;
  return pattern.every((expected, index) => (expected === '*' ? segments[index] !== '' : expected === segments[index]));
}

function chooseMethod(route: Route, method: string, segments: readonly string[]): RouteMatch {
  const operation = Object.entries(route.methods).find(([name]) => name === method)?.[1];
  if (operation === undefined) {
    return {
      kind: 'method_not_allowed',
      allow: Object.keys(route.methods).join(', '),
      isWatch: route.methods.GET === 'bundle_change_watch',
    };
  }
  return { kind: 'operation', operation, parameter: decodeSegment(segments[1] ?? '') };
}

/** A segment that is not valid percent-encoding stays as it is; no token has such a form, so it is not found. */
function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
