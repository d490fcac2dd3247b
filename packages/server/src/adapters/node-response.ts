import type { ServerResponse } from 'node:http';

import type { Answer } from '../http/responses.ts';

/** Writes an answer: in one piece where it is complete. */
export async function writeAnswer(answer: Answer, res: ServerResponse): Promise<void> {
  if (answer instanceof Response) {
    await writeWebResponse(answer, res);
    return;
  }
  closeIfUnread(res);
  res.writeHead(answer.status, answer.headers).end(answer.bytes);
}

/** The client may still be sending a body that was refused; nobody will read the rest of it. */
function closeIfUnread(res: ServerResponse): void {
  if (!res.req.complete) res.setHeader('Connection', 'close');
}

/**
 * Writes a Web response. Waits for the socket whenever it is full, and gives the body up when the client is gone.
 *
 * @throws what the body throws; the caller then has to destroy the socket, because status and half of the body are sent.
 */
export async function writeWebResponse(response: Response, res: ServerResponse): Promise<void> {
  res.statusCode = response.status;
  response.headers.forEach((value, name) => res.setHeader(name, value));
  closeIfUnread(res);
  if (response.body === null) {
    res.end();
    return;
  }
  if (response.headers.get('content-length') === null) res.flushHeaders();
  await pump(response.body.getReader(), res);
}

async function pump(reader: ReadableStreamDefaultReader<Uint8Array>, res: ServerResponse): Promise<void> {
  // A quiet stream waits in `read`, so the end of the connection has to reach it from outside.
  const giveUp = (): void => void reader.cancel().catch(() => {});
  res.once('close', giveUp);
  if (res.destroyed) giveUp();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const isBelowMark = res.write(next.value);
    if (!isBelowMark && res.writableLength >= WAITING_PARTS_MAX * next.value.byteLength) await waitForDrain(res);
  }
  res.removeListener('close', giveUp);
  if (!res.destroyed) res.end();
}

/** Parts of a body that may wait for the socket together: with one at a time it would run dry whenever the next one is fetched. */
const WAITING_PARTS_MAX = 4;

function waitForDrain(res: ServerResponse): Promise<void> | undefined {
  if (res.destroyed || !res.writableNeedDrain) return undefined;
  return new Promise((resolve) => {
    const settle = (): void => {
      res.removeListener('drain', settle);
      res.removeListener('close', settle);
      resolve();
    };
    res.once('drain', settle);
    res.once('close', settle);
  });
}
