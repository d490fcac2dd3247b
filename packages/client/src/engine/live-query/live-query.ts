import { SyncError } from '@oversync/protocol';

import type { SqlValue } from '../../ports/sqlite-driver.ts';
import type { LiveQueries, RegisteredQuery } from './live-queries.ts';
import { QueryWatch } from './query-watch.ts';
import type { QueryOutcome, QueryRows } from './query-watch.ts';

/** A row as the driver returns it: values in column order, INTEGER as bigint or number. */
export type QueryRow = readonly SqlValue[];

export interface LiveQueryOptions {
  /** Tables whose changes matter. Default: found by SQLite itself, views and indexes resolved. */
  readonly tables?: readonly string[];
  /** Quiet time after a change before the query runs again; changes within it are one. Default 0. */
  readonly debounceMs?: number;
}

/**
 * A query that is run again after every commit that touched one of its tables. Nothing runs while nobody listens.
 *
 * As an async iterable it yields the newest result; results that were replaced before they were asked for are left out. The iteration ends
 * when the client closes, and throws when the query fails.
 */
export interface LiveQuery extends AsyncIterable<readonly QueryRow[]> {
  /**
   * Calls `onResult` with the first result, then with every result that differs from the one before. A failing query calls `onError` and
   * is tried again after the next change. Returns the function that ends it: nothing is called afterwards, also not by a run under way.
   */
  subscribe(onResult: (rows: readonly QueryRow[]) => void, onError?: (error: SyncError) => void): () => void;
}

interface Subscriber {
  readonly onOutcome: (outcome: QueryOutcome) => void;
  readonly onEnd: () => void;
}

interface Run {
  readonly watch: QueryWatch;
  readonly query: RegisteredQuery;
  readonly endCloseListener: () => void;
}

/** Makes a live query. Validates the options and has no other effect. Throws `invalid_argument`. */
export function createLiveQuery(
  queries: LiveQueries,
  sql: string,
  params: readonly SqlValue[],
  options: LiveQueryOptions,
): LiveQuery {
  const { tables, debounceMs = 0 } = options;
  checkArgument(typeof sql === 'string' && sql.trim() !== '', 'sql');
  checkArgument(Number.isSafeInteger(debounceMs) && debounceMs >= 0, 'debounceMs');
  checkArgument(tables === undefined || (Array.isArray(tables) && tables.every((table) => typeof table === 'string')), 'tables');
  return new SharedQuery(queries, sql, params, tables === undefined ? null : new Set(tables.map(lowerCase)), debounceMs);
}

function lowerCase(text: string): string {
  return text.toLowerCase();
}

function checkArgument(isValid: boolean, argument: string): void {
  if (!isValid) throw new SyncError('invalid_argument', { details: { argument } });
}

/** One run of the query for all its subscribers. */
class SharedQuery implements LiveQuery {
  readonly #queries: LiveQueries;
  readonly #sql: string;
  readonly #params: readonly SqlValue[];
  readonly #tables: ReadonlySet<string> | null;
  readonly #debounceMs: number;
  readonly #subscribers = new Set<Subscriber>();
  #run: Run | null = null;

  constructor(
    queries: LiveQueries,
    sql: string,
    params: readonly SqlValue[],
    tables: ReadonlySet<string> | null,
    debounceMs: number,
  ) {
    this.#queries = queries;
    this.#sql = sql;
    this.#params = params;
    this.#tables = tables;
    this.#debounceMs = debounceMs;
  }

  subscribe(onResult: (rows: readonly QueryRow[]) => void, onError?: (error: SyncError) => void): () => void {
    return this.#add({
      onOutcome: (outcome) => ('rows' in outcome ? onResult(outcome.rows) : onError?.(outcome.error)),
      onEnd: () => undefined,
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<readonly QueryRow[], undefined> {
    return new NewestResults((subscriber) => this.#add(subscriber));
  }

  #add(subscriber: Subscriber): () => void {
    if (this.#queries.isClosed) {
      subscriber.onOutcome({ error: new SyncError('client_closed') });
      subscriber.onEnd();
      return () => undefined;
    }
    this.#subscribers.add(subscriber);
    if (this.#run === null) this.#begin();
    else if (this.#run.watch.last !== null) subscriber.onOutcome(this.#run.watch.last);
    return () => {
      if (this.#subscribers.delete(subscriber) && this.#subscribers.size === 0) this.#end();
    };
  }

  #begin(): void {
    const queries = this.#queries;
    const watch = new QueryWatch({
      clock: queries.clock,
      debounceMs: this.#debounceMs,
      load: (): Promise<QueryRows> => queries.load(query, this.#sql, this.#params, this.#tables === null),
      onOutcome: (outcome) => this.#publish(outcome),
    });
    const query: RegisteredQuery = { tables: this.#tables, changed: () => watch.changed() };
    this.#run = { watch, query, endCloseListener: queries.onClose(() => this.#close()) };
    queries.add(query);
    watch.refresh();
  }

  /** A subscriber that throws does not keep the result from the others. */
  #publish(outcome: QueryOutcome): void {
    for (const subscriber of this.#subscribers) {
      try {
        subscriber.onOutcome(outcome);
      } catch {
        continue;
      }
    }
  }

  #close(): void {
    this.#end();
    for (const subscriber of this.#subscribers) subscriber.onEnd();
    this.#subscribers.clear();
  }

  #end(): void {
    if (this.#run === null) return;
    this.#run.watch.end();
    this.#run.endCloseListener();
    this.#queries.remove(this.#run.query);
    this.#run = null;
  }
}

type Step = IteratorResult<readonly QueryRow[], undefined>;

const DONE: Step = { done: true, value: undefined };

/** Hands out the newest outcome to whoever asks; the first question starts the query. */
class NewestResults implements AsyncIterator<readonly QueryRow[], undefined> {
  readonly #begin: (subscriber: Subscriber) => () => void;
  #end: (() => void) | null = null;
  #newest: QueryOutcome | null = null;
  #waiting: PromiseWithResolvers<Step> | null = null;
  #isDone = false;

  constructor(begin: (subscriber: Subscriber) => () => void) {
    this.#begin = begin;
  }

  next(): Promise<Step> {
    this.#end ??= this.#begin({ onOutcome: (outcome) => this.#deliver(outcome), onEnd: () => this.#finish() });
    if (this.#newest !== null) return this.#handOut(this.#newest);
    if (this.#isDone) return Promise.resolve(DONE);
    this.#waiting ??= Promise.withResolvers<Step>();
    return this.#waiting.promise;
  }

  return(): Promise<Step> {
    this.#newest = null;
    this.#finish();
    return Promise.resolve(DONE);
  }

  #deliver(outcome: QueryOutcome): void {
    this.#newest = outcome;
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#waiting = null;
    this.#handOut(outcome).then(waiting.resolve, waiting.reject);
  }

  #handOut(outcome: QueryOutcome): Promise<Step> {
    this.#newest = null;
    if ('rows' in outcome) return Promise.resolve({ done: false, value: outcome.rows });
    this.#finish();
    return Promise.reject(outcome.error);
  }

  #finish(): void {
    this.#isDone = true;
    this.#end?.();
    this.#waiting?.resolve(DONE);
    this.#waiting = null;
  }
}
