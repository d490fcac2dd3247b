import type { ChangeChannel } from '../ports/channel.ts';
import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import { parseChangeMessage } from '../rules/change-message.ts';
import { localChange } from '../rules/local-change.ts';
import type { EventHub, TablesChangedEvent } from './events.ts';

/** Rows of these tables (lower-case names) were changed by one committed transaction of this or of another tab. */
export type TableChange = Omit<TablesChangedEvent, 'type'>;

export type TableChangeListener = (change: TableChange) => void;

export interface TableChangesSetup {
  readonly driver: SqliteDriver;
  readonly events: EventHub;
  readonly channel: ChangeChannel | null;
  /** Lower-case names of the managed tables. */
  readonly managedTables: () => readonly string[];
  readonly onListenerError: () => void;
}

/**
 * The one place where table changes come together: those of the engine (remote), those of the application (local, from the driver or
 * announced by hand), and those of other tabs. It listens to the driver and the channel only while somebody listens to it.
 */
export class TableChanges {
  readonly #setup: TableChangesSetup;
  readonly #listeners = new Set<TableChangeListener>();
  #sources: readonly (() => void)[] = [];
  #isRelaying = false;

  constructor(setup: TableChangesSetup) {
    this.#setup = setup;
  }

  /** Calls `listener` after each commit that touched tables, once per transaction. Returns the function that ends it. */
  subscribe(listener: TableChangeListener): () => void {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#connect();
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.#disconnect();
    };
  }

  /** Announces a commit that the driver does not see: another connection, or a driver without a change hook. */
  announceLocal(tables: readonly string[]): void {
    if (tables.length === 0) return;
    this.#setup.events.emit({ type: 'tablesChanged', tables: tables.map((table) => table.toLowerCase()), origin: 'local' });
  }

  #connect(): void {
    const { driver, events, channel } = this.#setup;
    this.#sources = [
      events.subscribe((event) => {
        if (event.type === 'tablesChanged') this.#pass(event);
      }),
      driver.onCommit?.((tables) => this.#committed(tables)) ?? ignore,
      channel?.subscribe((message) => this.#received(message)) ?? ignore,
    ];
  }

  #disconnect(): void {
    for (const end of this.#sources) end();
    this.#sources = [];
  }

  #committed(tables: readonly string[]): void {
    this.announceLocal(localChange(tables, this.#setup.managedTables()) ?? []);
  }

  #received(message: unknown): void {
    const change = parseChangeMessage(message);
    if (change === null) return;
    this.#isRelaying = true;
    try {
      this.#setup.events.emit({ type: 'tablesChanged', ...change });
    } finally {
      this.#isRelaying = false;
    }
  }

  /** A listener that throws disturbs neither the others nor whoever committed. */
  #tell(listener: TableChangeListener, change: TableChange): void {
    try {
      listener(change);
    } catch {
      this.#setup.onListenerError();
    }
  }

  #pass(event: TablesChangedEvent): void {
    const { tables, origin, operation } = event;
    const change: TableChange = { tables, origin, ...(operation === undefined ? {} : { operation }) };
    if (!this.#isRelaying) this.#setup.channel?.post({ tables, origin });
    for (const listener of this.#listeners) this.#tell(listener, change);
  }
}

/** Ends a source that does not exist. */
function ignore(): void {}
