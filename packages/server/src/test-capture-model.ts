/**
 * What a bundle must hold after any mix of statements: a model of five tables with cascades, nested and deferred triggers and partitions,
 * in plain maps. It knows nothing of capture; it only says which keys were touched and what the tables hold.
 */

export const MODEL_DDL = `
CREATE SCHEMA business;
CREATE TABLE business.parents (_sync_scope_id text NOT NULL, id text NOT NULL, name text NOT NULL, n int8 NOT NULL DEFAULT 0, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE business.children (
  _sync_scope_id text NOT NULL, id text NOT NULL, parent_id text NOT NULL, PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, parent_id) REFERENCES business.parents (_sync_scope_id, id)
    ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE business.links (
  _sync_scope_id text NOT NULL, id text NOT NULL, parent_id text, PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, parent_id) REFERENCES business.parents (_sync_scope_id, id)
    ON DELETE SET NULL (parent_id) ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE business.events (_sync_scope_id text NOT NULL, id text NOT NULL, body text NOT NULL, PRIMARY KEY (_sync_scope_id, id)) PARTITION BY HASH (id);
CREATE TABLE business.events_0 PARTITION OF business.events FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE business.events_1 PARTITION OF business.events FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE business.journal (_sync_scope_id text NOT NULL, id text NOT NULL, body text NOT NULL, PRIMARY KEY (_sync_scope_id, id));
CREATE FUNCTION business.write_journal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO business.journal AS j (id, body) VALUES (TG_ARGV[0] || NEW.id, '1') ON CONFLICT (_sync_scope_id, id) DO UPDATE SET body = j.body || '1';
  RETURN NULL;
END $$;
CREATE TRIGGER parent_journal AFTER INSERT ON business.parents FOR EACH ROW EXECUTE FUNCTION business.write_journal('p-');
CREATE CONSTRAINT TRIGGER link_journal AFTER INSERT ON business.links DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION business.write_journal('l-');
CREATE FUNCTION business.count_lost_child() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE business.parents SET n = n + 1 WHERE _sync_scope_id = OLD._sync_scope_id AND id = OLD.parent_id;
  RETURN NULL;
END $$;
CREATE TRIGGER lost_child AFTER DELETE ON business.children FOR EACH ROW EXECUTE FUNCTION business.count_lost_child();
CREATE FUNCTION business.calm_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE business.parents SET name = rtrim(NEW.name, '!') WHERE _sync_scope_id = NEW._sync_scope_id AND id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER calm_down AFTER UPDATE ON business.parents FOR EACH ROW WHEN (NEW.name LIKE '%!') EXECUTE FUNCTION business.calm_down();`;

export const MODEL_TABLE_NAMES = ['children', 'events', 'journal', 'links', 'parents'] as const;
export type ModelTable = (typeof MODEL_TABLE_NAMES)[number];

export type ModelRow = Readonly<Record<string, string | null>>;

/** Table and key. */
export function modelKey(table: ModelTable, id: string): string {
  return `${table} ${id}`;
}

/** Contents of the tables of one scope while a transaction runs. */
export class CaptureModel {
  readonly rows: Map<string, ModelRow>;
  /** Keys touched by the running transaction. */
  readonly touched = new Set<string>();
  readonly #insertedLinks: string[] = [];

  constructor(rows: Iterable<readonly [string, ModelRow]> = []) {
    this.rows = new Map(rows);
  }

  has(table: ModelTable, id: string): boolean {
    return this.rows.has(modelKey(table, id));
  }

  ids(table: ModelTable, where: (row: ModelRow) => boolean = () => true): string[] {
    const found = [...this.rows].filter(([key, row]) => key.startsWith(`${table} `) && where(row));
    return found.map(([key]) => key.slice(table.length + 1)).sort();
  }

  insert(table: ModelTable, id: string, row: ModelRow): void {
    this.#put(table, id, row);
    if (table === 'parents') this.#writeJournal(`p-${id}`);
    if (table === 'links') this.#insertedLinks.push(id);
  }

  update(table: ModelTable, id: string, change: (row: ModelRow) => ModelRow, newId = id): void {
    const row = this.rows.get(modelKey(table, id));
    if (row === undefined) return;
    this.#drop(table, id);
    const changed = change(row);
    this.#put(table, newId, table === 'parents' ? { ...changed, name: (changed['name'] ?? '').replace(/!+$/, '') } : changed);
    if (table === 'parents' && newId !== id) this.#follow(id, newId);
  }

  remove(table: ModelTable, id: string): void {
    const row = this.rows.get(modelKey(table, id));
    if (row === undefined) return;
    this.#drop(table, id);
    if (table === 'children')
      this.update('parents', row['parent_id'] ?? '', (parent) => ({ ...parent, n: String(BigInt(parent['n'] ?? '0') + 1n) }));
    if (table !== 'parents') return;
    for (const child of this.ids('children', (found) => found['parent_id'] === id)) this.remove('children', child);
    for (const link of this.ids('links', (found) => found['parent_id'] === id))
      this.update('links', link, () => ({ parent_id: null }));
  }

  /** What deferred triggers do before the commit. */
  settle(): void {
    for (const id of this.#insertedLinks) this.#writeJournal(`l-${id}`);
  }

  #follow(id: string, newId: string): void {
    for (const table of ['children', 'links'] as const) {
      for (const child of this.ids(table, (row) => row['parent_id'] === id))
        this.update(table, child, () => ({ parent_id: newId }));
    }
  }

  #writeJournal(id: string): void {
    const body = this.rows.get(modelKey('journal', id))?.['body'] ?? '';
    this.#put('journal', id, { body: `${body}1` });
  }

  #put(table: ModelTable, id: string, row: ModelRow): void {
    this.touched.add(modelKey(table, id));
    this.rows.set(modelKey(table, id), row);
  }

  #drop(table: ModelTable, id: string): void {
    this.touched.add(modelKey(table, id));
    this.rows.delete(modelKey(table, id));
  }
}

/** One generated statement: a kind, and three small numbers that choose keys and values. */
export interface ModelStep {
  readonly kind: StepKind;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

/** What to send: SQL, or lines for COPY. */
export type ModelStatement = { readonly sql: string } | { readonly copy: string; readonly into: string };

type Play = (model: CaptureModel, step: ModelStep, world: ModelWorld) => ModelStatement | undefined;

export interface ModelWorld {
  readonly scopeId: string;
  /** Which partition an event belongs to. */
  readonly partitionOf: ReadonlyMap<string, '0' | '1'>;
}

const PARENT_IDS = ['a', 'b', 'c', 'd'];
const CHILD_IDS = ['c1', 'c2', 'c3', 'c4', 'c5'];
const LINK_IDS = ['l1', 'l2', 'l3', 'l4'];
export const EVENT_IDS = ['e1', 'e2', 'e3', 'e4', 'e5', 'e6'];
const NAMES = ['x', 'y', 'loud!', 'louder!!'];

const pick = (values: readonly string[], index: number): string => values[index % values.length] ?? '';
const inScope = ({ scopeId }: ModelWorld, condition: string): string => `_sync_scope_id = '${scopeId}' AND ${condition}`;

/** Each of them plays its statement on the model and returns it, or nothing where it would fail. */
const PLAYS = {
  insertParent: (model, { a, b }) => {
    const [id, name] = [pick(PARENT_IDS, a), pick(NAMES, b)];
    if (model.has('parents', id)) return undefined;
    model.insert('parents', id, { name, n: '0' });
    return { sql: `INSERT INTO business.parents (id, name) VALUES ('${id}', '${name}')` };
  },
  upsertParents: (model, { a, b, c }) => {
    const [ids, name] = [[...new Set([pick(PARENT_IDS, a), pick(PARENT_IDS, b)])], pick(NAMES, c)];
    for (const id of ids) {
      if (model.has('parents', id)) model.update('parents', id, (row) => ({ ...row, name }));
      else model.insert('parents', id, { name, n: '0' });
    }
    const values = ids.map((id) => `('${id}', '${name}')`).join(',');
    return {
      sql: `INSERT INTO business.parents (id, name) VALUES ${values} ON CONFLICT (_sync_scope_id, id) DO UPDATE SET name = excluded.name`,
    };
  },
  insertParentIfAbsent: (model, { a }) => {
    const id = pick(PARENT_IDS, a);
    if (!model.has('parents', id)) model.insert('parents', id, { name: 'x', n: '0' });
    return { sql: `INSERT INTO business.parents (id, name) VALUES ('${id}', 'x') ON CONFLICT DO NOTHING` };
  },
  mergeParents: (model, { a, b, c }, world) => {
    const ids = [...new Set([pick(PARENT_IDS, a), pick(PARENT_IDS, b)])];
    const name = c % 2 === 0 ? 'gone' : pick(NAMES, c);
    for (const id of ids) {
      if (!model.has('parents', id)) model.insert('parents', id, { name, n: '0' });
      else if (name === 'gone') model.remove('parents', id);
      else model.update('parents', id, (row) => ({ ...row, name }));
    }
    const values = ids.map((id) => `('${id}', '${name}')`).join(',');
    return {
      sql: `MERGE INTO business.parents t USING (VALUES ${values}) v (id, name) ON t._sync_scope_id = '${world.scopeId}' AND t.id = v.id
        WHEN MATCHED AND v.name = 'gone' THEN DELETE WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (v.id, v.name)`,
    };
  },
  copyParents: (model, { a, b }, world) => {
    const ids = [...new Set([pick(PARENT_IDS, a), pick(PARENT_IDS, b)])].filter((id) => !model.has('parents', id));
    for (const id of ids) model.insert('parents', id, { name: 'copied!', n: '7' });
    return { copy: ids.map((id) => `${world.scopeId}\t${id}\tcopied!\t7\n`).join(''), into: 'business.parents' };
  },
  renameParent: (model, { a, b }, world) => {
    const [id, newId] = [pick(PARENT_IDS, a), pick(PARENT_IDS, b)];
    if (id !== newId && model.has('parents', newId)) return undefined;
    model.update('parents', id, (row) => row, newId);
    return { sql: `UPDATE business.parents SET id = '${newId}' WHERE ${inScope(world, `id = '${id}'`)}` };
  },
  touchParents: (model, _step, world) => {
    for (const id of model.ids('parents')) model.update('parents', id, (row) => row);
    return { sql: `UPDATE business.parents SET n = n WHERE ${inScope(world, 'true')}` };
  },
  deleteParents: (model, { a, b }, world) => {
    const ids = [...new Set([pick(PARENT_IDS, a), pick(PARENT_IDS, b)])];
    for (const id of ids) model.remove('parents', id);
    return { sql: `DELETE FROM business.parents WHERE ${inScope(world, `id IN (${ids.map((id) => `'${id}'`).join(',')})`)}` };
  },
  insertChild: (model, { a, b }) => {
    const [id, parent] = [pick(CHILD_IDS, a), pick(PARENT_IDS, b)];
    if (model.has('children', id) || !model.has('parents', parent)) return undefined;
    model.insert('children', id, { parent_id: parent });
    return { sql: `INSERT INTO business.children (id, parent_id) VALUES ('${id}', '${parent}')` };
  },
  moveChildren: (model, { a, b }, world) => {
    const [from, to] = [pick(PARENT_IDS, a), pick(PARENT_IDS, b)];
    if (!model.has('parents', to)) return undefined;
    for (const id of model.ids('children', (row) => row['parent_id'] === from))
      model.update('children', id, () => ({ parent_id: to }));
    return { sql: `UPDATE business.children SET parent_id = '${to}' WHERE ${inScope(world, `parent_id = '${from}'`)}` };
  },
  deleteChild: (model, { a }, world) => {
    const id = pick(CHILD_IDS, a);
    model.remove('children', id);
    return { sql: `DELETE FROM business.children WHERE ${inScope(world, `id = '${id}'`)}` };
  },
  insertLink: (model, { a, b }) => {
    const [id, parent] = [pick(LINK_IDS, a), pick(PARENT_IDS, b)];
    if (model.has('links', id) || !model.has('parents', parent)) return undefined;
    model.insert('links', id, { parent_id: parent });
    return { sql: `INSERT INTO business.links (id, parent_id) VALUES ('${id}', '${parent}')` };
  },
  deleteLink: (model, { a }, world) => {
    const id = pick(LINK_IDS, a);
    model.remove('links', id);
    return {
      sql: `WITH gone AS (DELETE FROM business.links WHERE ${inScope(world, `id = '${id}'`)} RETURNING id) SELECT count(*) FROM gone`,
    };
  },
  insertEvents: (model, { a, b, c }) => {
    const ids = [...new Set([pick(EVENT_IDS, a), pick(EVENT_IDS, b), pick(EVENT_IDS, c)])].filter(
      (id) => !model.has('events', id),
    );
    for (const id of ids) model.insert('events', id, { body: 'new' });
    if (ids.length === 0) return undefined;
    return { sql: `INSERT INTO business.events (id, body) VALUES ${ids.map((id) => `('${id}', 'new')`).join(',')}` };
  },
  renameEvent: (model, { a, b }, world) => {
    const [id, newId] = [pick(EVENT_IDS, a), pick(EVENT_IDS, b)];
    if (id === newId || model.has('events', newId)) return undefined;
    model.update('events', id, (row) => row, newId);
    return { sql: `UPDATE business.events SET id = '${newId}' WHERE ${inScope(world, `id = '${id}'`)}` };
  },
  updatePartition: (model, { a, c }, world) => {
    const partition = a % 2 === 0 ? '0' : '1';
    for (const id of model.ids('events').filter((id) => world.partitionOf.get(id) === partition)) {
      model.update('events', id, () => ({ body: `body ${String(c)}` }));
    }
    return { sql: `UPDATE business.events_${partition} SET body = 'body ${String(c)}' WHERE ${inScope(world, 'true')}` };
  },
  insertIntoPartition: (model, { a }, world) => {
    const id = pick(EVENT_IDS, a);
    if (model.has('events', id)) return undefined;
    model.insert('events', id, { body: 'direct' });
    return { sql: `INSERT INTO business.events_${world.partitionOf.get(id) ?? ''} (id, body) VALUES ('${id}', 'direct')` };
  },
  deleteFromPartition: (model, { a }, world) => {
    const id = pick(EVENT_IDS, a);
    model.remove('events', id);
    return { sql: `DELETE FROM business.events_${world.partitionOf.get(id) ?? ''} WHERE ${inScope(world, `id = '${id}'`)}` };
  },
} as const satisfies Record<string, Play>;

export type StepKind = keyof typeof PLAYS;
export const STEP_KINDS = Object.keys(PLAYS) as readonly StepKind[];

export function playStep(model: CaptureModel, step: ModelStep, world: ModelWorld): ModelStatement | undefined {
  return PLAYS[step.kind](model, step, world);
}
