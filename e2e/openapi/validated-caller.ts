import type { SyncServer } from '@oversync/server';
import { expect } from 'vitest';

import { createRequest } from '../../packages/server/src/test-server.ts';
import type { Answer, AnswerJson, CallOptions } from '../../packages/server/src/test-server.ts';
import { findOperations, validateResponse } from './response-validator.ts';

/** Which operations answered with which code (`ok` for a success), as `pull history_pruned`. */
export type Ledger = Set<string>;

export interface ValidatedCaller {
  /** Sends a request, fails the test when the answer is not as the document says, and returns it. */
  readonly call: (method: string, path: string, options?: CallOptions) => Promise<Answer>;
}

/** Speaks to a server as a client does and holds every answer against the document. */
export function createValidatedCaller(server: SyncServer, ledger: Ledger): ValidatedCaller {
  const call = async (method: string, path: string, options: CallOptions = {}): Promise<Answer> => {
    const request = createRequest(method, path, options);
    const { pathname } = new URL(request.url);
    const response = pathname.includes('/syncx/') ? await server.ops.fetch(request) : await server.fetch(request);
    const body = await readBody(response);
    const isJson = response.headers.get('content-type') === 'application/json';
    const json = (isJson ? JSON.parse(body) : undefined) as AnswerJson;
    for (const { operationId } of findOperations(method, pathname)) {
      const problems = validateResponse(operationId, { status: response.status, headers: response.headers, body });
      expect(problems, `${method} ${path} → ${String(response.status)} ${body.slice(0, 500)}`).toStrictEqual([]);
      ledger.add(`${operationId} ${getCode(json) ?? 'ok'}`);
    }
    return { status: response.status, headers: response.headers, text: body, json };
  };
  return { call };
}

/** Sends a request whose answer has to carry this code. */
export async function expectRefusal(
  caller: ValidatedCaller,
  code: string,
  method: string,
  path: string,
  options?: CallOptions,
): Promise<Answer> {
  const answer = await caller.call(method, path, options);
  expect(getCode(answer.json), `${method} ${path} → ${answer.text.slice(0, 500)}`).toBe(code);
  return answer;
}

function getCode(json: unknown): string | undefined {
  const code: unknown = typeof json === 'object' && json !== null ? Reflect.get(json, 'error') : undefined;
  return typeof code === 'string' ? code : undefined;
}

async function readBody(response: Response): Promise<string> {
  if (response.headers.get('content-encoding') !== 'gzip' || response.body === null) return response.text();
  return new Response(response.body.pipeThrough(new DecompressionStream('gzip'))).text();
}
