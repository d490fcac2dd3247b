import { once } from 'node:events';

import { Client } from 'pg';

import { insertInOneTransaction } from './sqlite-table.ts';
import { makeBenchRow } from './bench-rows.ts';
import { type BenchServer, closeDevice, startBenchServer } from './harness/bench-server.ts';
import { type AnyCase, type Benchmark, defineCase } from './harness/benchmark.ts';
import { median, percentile95 } from './harness/measure.ts';
import type { Sandbox } from './harness/sandbox.ts';
import { attachNow, openBenchDevice } from './processes/bench-device.ts';
import type { Child } from './processes/ipc.ts';
import { PullReader } from './pull-reader.ts';
import { encodeWirePush, WireSource } from './wire-push.ts';

/** Commits of one run; they follow each other, so the time of a run divided by this is the latency. */
const COMMITS = 50;

/** From a commit on one device to the row on another device that watches, which is a process of its own. */
export const latency: Benchmark = {
  name: 'latency',
  title: `${COMMITS} commits one after the other, each until its row is on a device that watches; raw is INSERT, NOTIFY, notification, SELECT`,
  rowsDefault: COMMITS,
  repetitionsDefault: 5,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    const notifications = await openNotifications(sandbox);
    const wire = await openScope(server, sandbox);
    await wire.writer.connectEmpty();
    let bundles = 1;
    await wire.writer.commit(await wire.writer.stage(encodeWirePush([makeBenchRow(0)]), bundles));
    await wire.watch();
    const device = await openScope(server, sandbox);
    const writer = await openBenchDevice({ file: sandbox.newFile('writer'), serverUrl: server.url, token: device.token });
    sandbox.onClose(() => writer.close());
    await attachNow(writer, device.user);
    await device.watch();
    let nextRow = 0;
    return [
      defineLatency(sandbox, rows, RAW_NAME, async () => {
        const startedAt = performance.now();
        await notifications.send();
        await notifications.select();
        return performance.now() - startedAt;
      }),
      defineLatency(sandbox, rows, 'the same with an HTTP pull of one row instead of SELECT', async () => {
        const startedAt = performance.now();
        await notifications.send();
        await wire.pullLast();
        return performance.now() - startedAt;
      }),
      defineLatency(sandbox, rows, 'commit answered until row on the other device', async () => {
        bundles += 1;
        const pushId = await wire.writer.stage(encodeWirePush([makeBenchRow(bundles)]), bundles);
        const arrived = wire.nextArrival();
        await wire.writer.commit(pushId);
        return timeUntil(arrived);
      }),
      defineLatency(sandbox, rows, 'local commit until row on the other device', async () => {
        const arrived = device.nextArrival();
        nextRow += 1;
        insertInOneTransaction(writer.driver.database, [makeBenchRow(nextRow)]);
        const visible = timeUntil(arrived);
        await writer.client.pushPending();
        return visible;
      }),
    ];
  },
};

const RAW_NAME = 'raw INSERT + NOTIFY until received + SELECT';

interface Notifications {
  /** Inserts a row and notifies; resolves when the notification has arrived on the other connection. */
  send(): Promise<void>;
  /** Reads the last row on the connection that was notified. */
  select(): Promise<void>;
}

async function openNotifications(sandbox: Sandbox): Promise<Notifications> {
  const url = await sandbox.createDatabase();
  const [listener, notifier] = [new Client({ connectionString: url }), new Client({ connectionString: url })];
  await Promise.all([listener.connect(), notifier.connect()]);
  sandbox.onClose(async () => {
    await Promise.all([listener.end(), notifier.end()]);
  });
  await notifier.query('CREATE TABLE raw_ticks (tick bigserial PRIMARY KEY, body text)');
  await listener.query('LISTEN raw_channel');
  return {
    send: async () => {
      const received = once(listener, 'notification');
      await notifier.query("INSERT INTO raw_ticks (body) VALUES ('some text')");
      await notifier.query('NOTIFY raw_channel');
      await received;
    },
    select: async () => {
      const { rows } = await listener.query('SELECT tick, body FROM raw_ticks ORDER BY tick DESC LIMIT 1');
      if (rows.length !== 1) throw new Error('the row is not there');
    },
  };
}

interface WatchedScope {
  readonly user: string;
  readonly token: string;
  /** Another source of the scope, which speaks the protocol itself. */
  readonly writer: WireSource;
  /** Starts the device that watches; it has all rows then. */
  watch(): Promise<void>;
  /** Resolves when the device has applied rows of others. */
  nextArrival(): Promise<unknown>;
  /** The newest bundle, over HTTP. */
  pullLast(): Promise<void>;
}

async function openScope(server: BenchServer, sandbox: Sandbox): Promise<WatchedScope> {
  const { user, token } = await server.newUser();
  const reader = new PullReader(server.url, token);
  sandbox.onClose(() => Promise.resolve(reader.close()));
  let device: Child | undefined;
  let lastBundleSeq = '0';
  return {
    user,
    token,
    writer: new WireSource(server.url, token),
    watch: async () => {
      const opened = await server.openDevice(token);
      sandbox.onClose(() => closeDevice(opened));
      await opened.call('attach', user);
      await opened.call('watch');
      device = opened;
    },
    nextArrival: () => {
      if (device === undefined) throw new Error('nobody watches');
      return device.call('nextArrival');
    },
    pullLast: async () => {
      const after = lastBundleSeq === '0' ? '0' : String(BigInt(lastBundleSeq) - 1n);
      ({ lastBundleSeq } = await reader.readPage(after));
    },
  };
}

async function timeUntil(arrived: Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await arrived;
  return performance.now() - startedAt;
}

/** Runs `once` so many times, and notes how the single times are spread over all runs but the first, which warms up. */
function defineLatency(sandbox: Sandbox, count: number, name: string, measureOnce: () => Promise<number>): AnyCase {
  const samples: number[] = [];
  let runs = 0;
  return defineCase({
    name,
    isRaw: name === RAW_NAME,
    units: count,
    unit: 'commits',
    prepare: () => Promise.resolve(),
    run: async () => {
      let totalMs = 0;
      for (let done = 0; done < count; done += 1) {
        const ms = await measureOnce();
        totalMs += ms;
        if (runs > 0) samples.push(ms);
      }
      runs += 1;
      if (runs === 1) return totalMs;
      sandbox.noteFact(name, `p50 ${median(samples).toFixed(2)} ms, p95 ${percentile95(samples).toFixed(2)} ms`);
      return totalMs;
    },
  });
}
