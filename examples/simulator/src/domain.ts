import { randomUUID } from 'node:crypto';

import type { SqlValue } from '@oversync/client';

/** The part of a transaction, or of a connection, that these functions need. */
interface Writer {
  run(sql: string, params?: readonly SqlValue[]): Promise<unknown>;
}

/** The bytes of a UUID: the form of a key that the device stores as BLOB. */
export function keyBytes(id: string): Uint8Array {
  return Uint8Array.from(Buffer.from(id.replaceAll('-', ''), 'hex'));
}

/** A time as the device writes it; the server rounds what is finer than a microsecond. */
export function now(): string {
  return new Date().toISOString();
}

export async function addUser(tx: Writer, name: string, id: string = randomUUID()): Promise<string> {
  const sql = 'INSERT INTO users(id, name, email, created_at, updated_at) VALUES (?, ?, ?, ?, ?)';
  await tx.run(sql, [id, name, `${id}@example.com`, now(), now()]);
  return id;
}

export async function addPost(
  tx: Writer,
  authorId: string | null,
  title: string,
  createdAt: string = now(),
  id: string = randomUUID(),
): Promise<string> {
  const sql = 'INSERT INTO posts(id, title, content, author_id, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)';
  await tx.run(sql, [id, title, `About ${title}`, authorId, createdAt, now()]);
  return id;
}

export async function addCategory(tx: Writer, name: string, parentId: string | null): Promise<string> {
  const id = randomUUID();
  await tx.run('INSERT INTO categories(id, name, parent_id) VALUES (?, ?, ?)', [id, name, parentId]);
  return id;
}

/** A team and its captain, who refer to each other. */
export async function addTeam(tx: Writer, name: string): Promise<string> {
  const [team, captain] = [randomUUID(), randomUUID()];
  await tx.run('INSERT INTO teams(id, name, captain_member_id) VALUES (?, ?, ?)', [team, name, captain]);
  await tx.run('INSERT INTO team_members(id, name, team_id) VALUES (?, ?, ?)', [captain, `Captain of ${name}`, team]);
  return team;
}

export async function addFile(tx: Writer, name: string, data: Uint8Array): Promise<string> {
  const id = randomUUID();
  await tx.run('INSERT INTO files(id, name, data) VALUES (?, ?, ?)', [keyBytes(id), name, data]);
  return id;
}

export async function addReview(tx: Writer, fileId: string, review: string): Promise<string> {
  const id = randomUUID();
  await tx.run('INSERT INTO file_reviews(id, review, file_id) VALUES (?, ?, ?)', [keyBytes(id), review, keyBytes(fileId)]);
  return id;
}
