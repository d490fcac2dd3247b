import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Tokens } from './tokens.ts';

/** Longest body of a sign-in, in bytes. */
const BODY_BYTES_MAX = 4096;

/**
 * `POST /dummy-signin {"user": "ada", "password": "…"}` → `{"token": "…"}`. Any password will do, so it exists only when the server
 * was started with development sign-in.
 */
export async function answerSignIn(request: IncomingMessage, response: ServerResponse, tokens: Tokens): Promise<void> {
  if (request.method !== 'POST') {
    sendJson(response.setHeader('Allow', 'POST'), 405, { error: 'method_not_allowed' });
    return;
  }
  const user = readUser(await readBody(request));
  if (user === null) sendJson(response, 400, { error: 'invalid_request', message: 'user and password are required' });
  else sendJson(response, 200, { token: await tokens.sign(user), user });
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', 'Content-Length': bytes.length });
  response.end(bytes);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) return '';
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function readUser(body: string): string | null {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== 'object' || value === null || !('user' in value) || !('password' in value)) return null;
    const { user, password } = value;
    if (typeof user !== 'string' || typeof password !== 'string') return null;
    return user.trim() === '' || password === '' ? null : user;
  } catch {
    return null;
  }
}
