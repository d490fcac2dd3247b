import { expect, test } from 'vitest';

import { OPERATIONS } from '../../packages/server/src/http/operations.ts';
import { matchRoute } from '../../packages/server/src/http/routes.ts';
import type { SyncOperation } from '../../packages/server/src/http/routes.ts';
import { listOperations, loadDocument } from './document.ts';
import type { PlacedOperation } from './document.ts';

const operations = listOperations(loadDocument());
const syncOperations = operations.filter(({ path }) => path.startsWith('/sync/'));

/** A new operation of the server does not compile until it is listed here, and fails below until it is documented. */
const ALL: Readonly<Record<SyncOperation, true>> = {
  capabilities: true,
  connect: true,
  push_session_create: true,
  push_chunk: true,
  push_session_commit: true,
  push_session_delete: true,
  push_session_status: true,
  committed_bundle_rows: true,
  pull: true,
  bundle_change_watch: true,
  snapshot_session_create: true,
  snapshot_chunk: true,
  snapshot_session_delete: true,
  verify: true,
  verify_rows: true,
};

test('[D1] the document has exactly the operations of the server', () => {
  expect(syncOperations.map(({ operationId }) => operationId).sort()).toStrictEqual(Object.keys(ALL).sort());
});

test.each(syncOperations)('[D1] $method $path reaches $operationId below any prefix', ({ method, path, operationId }) => {
  const concrete = path.replaceAll(/\{\w+\}/g, 'a%20b');
  expect(matchRoute(method, `/some/prefix${concrete}`)).toStrictEqual({
    kind: 'operation',
    operation: operationId,
    parameter: path.includes('{') ? 'a b' : matchParameter(path),
  });
});

test.each(Object.entries(OPERATIONS))(
  '[D1] %s declares the codes of its malformed requests and of its faults',
  (operationId, spec) => {
    const operation = operations.find((candidate) => candidate.operationId === operationId);
    expect(listCodes(operation)).toEqual(expect.arrayContaining([spec.failureCode, spec.malformedCode]));
  },
);

/** Paths without a parameter still have a second segment where they are two segments long. */
function matchParameter(path: string): string {
  return path.split('/')[3] ?? '';
}

function listCodes(operation: PlacedOperation | undefined): readonly string[] {
  return Object.values(operation?.responses ?? {}).flatMap(({ content }) =>
    Object.values(content ?? {}).flatMap(({ schema }) => Object.keys(schema.discriminator?.mapping ?? {})),
  );
}
