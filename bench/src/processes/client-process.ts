/** A device of a benchmark in a process of its own. Times are taken here, so that the calls between the processes do not count. */
import { insertInOneTransaction } from '../sqlite-table.ts';
import { makeBenchRows } from '../bench-rows.ts';
import { attachNow, type BenchDevice, type BenchDeviceOptions, openBenchDevice } from './bench-device.ts';
import { serveParent } from './ipc.ts';

const ROWS_PER_PAGE = 1000;

/** With the pages that are free, as the file is on disk. */
const FILE_BYTES = 'SELECT page_count * page_size FROM pragma_page_count, pragma_page_size';

let device: BenchDevice | undefined;
let loop: { stop(): Promise<void> } | undefined;

serveParent({
  open: async (options: BenchDeviceOptions) => {
    device = await openBenchDevice(options);
  },
  insert: (range: { readonly from: number; readonly count: number }) => {
    insertInPages(range);
    return Promise.resolve();
  },
  attach: (user: string) => time(() => attachNow(current(), user)),
  push: () => time(() => pushAll(current())),
  pull: () => time(() => current().client.pullToStable()),
  rebuild: () => time(() => current().client.rebuild()),
  /** Watches from now on, until the device is closed. */
  watch: () => {
    loop = current().client.start({ bundleChangeWatchMode: 'auto' });
    return Promise.resolve();
  },
  /** Resolves when rows of other devices have been applied. To be called before they can come. */
  nextArrival: () =>
    new Promise<void>((resolve) => {
      const unsubscribe = current().client.subscribe((event) => {
        if (event.type !== 'tablesChanged' || event.origin !== 'remote') return;
        unsubscribe();
        resolve();
      });
    }),
  count: async () => Number((await current().driver.all('SELECT count(*) FROM places'))[0]?.[0]),
  fileBytes: async () => Number((await current().driver.all(FILE_BYTES))[0]?.[0]),
  rssBytes: () => Promise.resolve(process.memoryUsage.rss()),
  close: async () => {
    await loop?.stop();
    loop = undefined;
    await device?.close();
    device = undefined;
  },
});

/** Rows are made page by page, so that the memory noted for this process is that of the client. */
function insertInPages({ from, count }: { readonly from: number; readonly count: number }): void {
  for (let first = from; first < from + count; first += ROWS_PER_PAGE) {
    insertInOneTransaction(current().driver.database, makeBenchRows(Math.min(ROWS_PER_PAGE, from + count - first), first));
  }
}

async function pushAll({ client }: BenchDevice): Promise<void> {
  while ((await client.pendingSyncStatus()).pendingRowCount > 0) await client.pushPending();
}

async function time(work: () => Promise<unknown>): Promise<number> {
  globalThis.gc?.();
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

function current(): BenchDevice {
  if (device === undefined) throw new Error('open comes first');
  return device;
}
