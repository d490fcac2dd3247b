import type { IncomingMessage, ServerResponse } from 'node:http';

import { readJson, readMember, sendJson } from './json-http.ts';
import { TOKEN_LIFE_SECONDS, type Tokens } from './tokens.ts';

/**
 * `POST /dummy-signin {"user": "ada", "password": "…"}` → `{"token": "…", "expires_in": 3600, "user": "ada"}`. Any password will do, so
 * it exists only when the server was started with development sign-in.
 */
export async function answerSignIn(request: IncomingMessage, response: ServerResponse, tokens: Tokens): Promise<void> {
  if (request.method !== 'POST') {
    sendJson(response.setHeader('Allow', 'POST'), 405, { error: 'method_not_allowed' });
    return;
  }
  const user = readUser(await readJson(request));
  if (user === null) sendJson(response, 400, { error: 'invalid_request', message: 'user and password are required' });
  else sendJson(response, 200, { token: await tokens.sign(user), expires_in: TOKEN_LIFE_SECONDS, user });
}

function readUser(body: unknown): string | null {
  const user = readMember(body, 'user');
  const password = readMember(body, 'password');
  if (typeof user !== 'string' || typeof password !== 'string') return null;
  return user.trim() === '' || password === '' ? null : user;
}
