import { randomBytes, randomUUID } from 'node:crypto';

import type { DeviceChoices } from '../processes/bench-device.ts';
import { bundleProcess } from '../processes/bundle.ts';
import { Child } from '../processes/ipc.ts';
import type { Sandbox } from './sandbox.ts';

const BYTES_PER_MIB = 2 ** 20;

export interface MemoryUse {
  readonly rssBytes: number;
  /** Heap and buffers that are referenced. */
  readonly usedBytes: number;
}

/** The server under test, and what is needed to talk to it. */
export interface BenchServer {
  readonly url: string;
  readonly databaseUrl: string;
  /** A scope that nobody has used, and a token for it. */
  newUser(): Promise<{ readonly user: string; readonly token: string }>;
  /** Runs `work` and returns the longest time, in milliseconds, for which the event loop of the server did nothing else. */
  measureLoopDelay(work: () => Promise<unknown>): Promise<number>;
  /** Event streams of `node:http` in the process of the server, which stay open and do nothing; returns their URL. */
  startPlainStreams(): Promise<string>;
  /** Memory of the server now, after a collection. */
  readMemory(): Promise<MemoryUse>;
  /** A device in a process of its own, opened on a new file. */
  openDevice(token: string, choices?: DeviceChoices): Promise<Child>;
}

/** Starts the server in its own process on a new database. It and its devices are bundled, each to one file. */
export async function startBenchServer(sandbox: Sandbox): Promise<BenchServer> {
  const databaseUrl = await sandbox.createDatabase();
  const [serverFile, deviceFile] = await Promise.all([bundleProcess('server-process.ts'), bundleProcess('client-process.ts')]);
  const server = await Child.start(serverFile, [databaseUrl, randomBytes(24).toString('base64url')], 'server', sandbox);
  sandbox.onClose(async () => {
    await server.call('stop');
    await server.stop();
  });
  const url = String(await server.call('url'));
  const readMemory = async (): Promise<MemoryUse> => (await server.call('memory')) as MemoryUse;
  sandbox.noteFact('server after its start', `${Math.round((await readMemory()).rssBytes / BYTES_PER_MIB)} MiB resident`);
  return {
    url,
    databaseUrl,
    newUser: async () => {
      const user = `bench-${randomUUID()}`;
      return { user, token: await signIn(url, user) };
    },
    measureLoopDelay: async (work) => {
      await server.call('startLoopDelay');
      await work();
      return server.time('stopLoopDelay');
    },
    startPlainStreams: async () => String(await server.call('startPlainStreams')),
    readMemory,
    openDevice: async (token, choices = {}) => {
      const device = await Child.start(deviceFile, [], 'client', sandbox);
      await device.call('open', { file: sandbox.newFile('device'), serverUrl: url, token, ...choices });
      return device;
    },
  };
}

async function signIn(url: string, user: string): Promise<string> {
  const response = await fetch(`${url}/dummy-signin`, { method: 'POST', body: JSON.stringify({ user, password: 'bench' }) });
  const body = (await response.json()) as { readonly token: string };
  return body.token;
}

/** Ends a device's process after its client has closed. */
export async function closeDevice(device: Child): Promise<void> {
  await device.call('close');
  await device.stop();
}
