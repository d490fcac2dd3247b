import { connect } from 'node:net';

import type { ClientBase } from 'pg';

const CANCEL_REQUEST_CODE = 80877102;
const CANCEL_REQUEST_BYTES = 16;

/** Milliseconds after which a cancel request that cannot be delivered is given up; `statement_timeout` bounds the rest. */
const CANCEL_TIMEOUT_MS = 2000;

/**
 * Asks PostgreSQL to cancel the statement that runs on this connection, through a socket of its own as the protocol demands.
 * Best effort: the caller must not give the connection back to the pool, because the request may arrive late.
 */
export function cancelBackend(client: ClientBase): void {
  const target = readCancelTarget(client);
  if (target !== undefined) void sendCancelRequest(target);
}

/** Where a backend is reached, and what it is addressed by. */
export interface CancelTarget {
  /** A name, an address, or the folder of a socket. */
  readonly host: string;
  readonly port: number;
  readonly processId: number;
  readonly secretKey: number;
}

/** Resolves when PostgreSQL has taken the request and signalled the backend, or when the request could not be delivered. */
export function sendCancelRequest(target: CancelTarget): Promise<void> {
  return new Promise((resolve) => {
    const socket = target.host.startsWith('/')
      ? connect(`${target.host}/.s.PGSQL.${String(target.port)}`)
      : connect(target.port, target.host);
    socket.setTimeout(CANCEL_TIMEOUT_MS, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve());
    // Reading is what notices that the other side has closed. This side must not close first: PgBouncer 1.18 ends its process over that.
    socket.resume();
    socket.on('connect', () => socket.write(formatCancelRequest(target)));
    socket.unref();
  });
}

/** node-postgres keeps these four on the client without declaring them. */
function readCancelTarget(client: ClientBase): CancelTarget | undefined {
  const host = readProperty(client, 'host');
  const port = readProperty(client, 'port');
  const processId = readProperty(client, 'processID');
  const secretKey = readProperty(client, 'secretKey');
  if (typeof host !== 'string' || typeof port !== 'number') return undefined;
  if (typeof processId !== 'number' || typeof secretKey !== 'number') return undefined;
  return { host, port, processId, secretKey };
}

function readProperty(holder: object, name: string): unknown {
  return Reflect.get(holder, name);
}

function formatCancelRequest(target: CancelTarget): Buffer {
  const request = Buffer.alloc(CANCEL_REQUEST_BYTES);
  request.writeInt32BE(CANCEL_REQUEST_BYTES, 0);
  request.writeInt32BE(CANCEL_REQUEST_CODE, 4);
  // Drivers read the two as signed or as unsigned numbers, and a pooler gives numbers of its own: only the 32 bits count.
  request.writeInt32BE(target.processId | 0, 8);
  request.writeInt32BE(target.secretKey | 0, 12);
  return request;
}
