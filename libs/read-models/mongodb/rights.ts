import type { Db } from 'mongodb';
import { isUnsupported } from './errors.js';

/**
 * The actions (https://www.mongodb.com/docs/manual/reference/privilege-actions/) that a process needs on its database.
 * The roles `read` and `readWrite` with `dbAdmin` contain them.
 */
export const RIGHTS = {
  read: ['find'],
  write: [
    ...['find', 'insert', 'update', 'remove'],
    ...['createCollection', 'dropCollection', 'listCollections', 'createIndex', 'collMod'],
  ],
} as const;

interface Privilege {
  readonly resource: { readonly anyResource?: boolean; readonly db?: string; readonly collection?: string };
  readonly actions: readonly string[];
}

/**
 * Returns those of the actions that the account may not carry out on the whole database. Returns `[]` if the server has
 * no accounts, or does not tell what they may do. Throws the errors of the driver.
 */
export async function missingActions(database: Db, actions: readonly string[]): Promise<string[]> {
  const privileges = await privilegesOf(database);
  if (privileges.length === 0) return [];
  const onDatabase = privileges.filter(({ resource: { anyResource, db, collection } }) => {
    return anyResource === true || ((db === '' || db === database.databaseName) && collection === '');
  });
  const granted = new Set(onDatabase.flatMap((privilege) => privilege.actions));
  return actions.filter((action) => !granted.has(action));
}

async function privilegesOf(database: Db): Promise<readonly Privilege[]> {
  try {
    const { authInfo } = await database.command({ connectionStatus: 1, showPrivileges: true });
    return (authInfo as { authenticatedUserPrivileges?: Privilege[] } | undefined)?.authenticatedUserPrivileges ?? [];
  } catch (error) {
    if (isUnsupported(error)) return [];
    throw error;
  }
}
