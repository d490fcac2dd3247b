import { checkKnownNames, checkOption } from './options.ts';

const MEMBERS: ReadonlySet<string> = new Set([
  'tableName',
  'syncKeyColumnName',
  'syncKeyColumns',
  'jsonColumns',
  'resolver',
  'captureBase',
  'upgradeRow',
]);

/**
 * Names and types of what `tables` holds, so that a misspelt member is noticed before it is missed. What the names mean is checked against the
 * database, at `open()`. Throws `config_invalid` with `tables.<member>` as the option.
 */
export function checkTableOptions(tables: unknown): void {
  checkOption(Array.isArray(tables), 'tables');
  if (Array.isArray(tables)) tables.forEach(checkTable);
}

function checkTable(table: unknown): void {
  if (typeof table !== 'object' || table === null) {
    checkOption(false, 'tables');
    return;
  }
  checkKnownNames(table, MEMBERS, 'tables.');
  const member = (name: string): unknown => Reflect.get(table, name);
  const check = (name: string, isRight: (value: unknown) => boolean): void => {
    const value = member(name);
    checkOption(value === undefined || isRight(value), `tables.${name}`);
  };
  checkOption(typeof member('tableName') === 'string', 'tables.tableName');
  check('syncKeyColumnName', isText);
  check('syncKeyColumns', isTextList);
  check('jsonColumns', isTextList);
  check('resolver', isFunction);
  check('captureBase', (value) => typeof value === 'boolean');
  check('upgradeRow', isFunction);
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

function isTextList(value: unknown): boolean {
  return Array.isArray(value) && value.every(isText);
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function';
}
