/**
 * What SQLite makes beside a database, as suffixes of the database's name: the write-ahead log, that log's index, and the
 * rollback journal, which SQLite uses until the database is in WAL mode.
 */
export const SQLITE_SIDE_FILES = ['-wal', '-shm', '-journal'] as const;

/** What the codes of SQLite and of the kernel say about a file. The first match counts. */
const TROUBLES: readonly (readonly [code: RegExp, words: string])[] = [
  [/^(SQLITE_FULL|ENOSPC|EDQUOT)/, 'its disk is full'],
  [/^(SQLITE_READONLY|SQLITE_PERM|EROFS|EACCES|EPERM)/, 'it is read-only'],
  [/^SQLITE_(BUSY|LOCKED)/, 'another process has locked it, or its disk does not answer'],
  [/^SQLITE_NOTADB/, 'it is not a database'],
  [/^SQLITE_CORRUPT/, 'it is damaged'],
  [/^(SQLITE_CANTOPEN|ENOENT|ENOTDIR|EISDIR)/, 'no file can be opened there'],
  [/^(SQLITE_NOMEM|ENOMEM)/, 'there is not enough memory'],
  [/^(EMFILE|ENFILE)/, 'too many files are open'],
  [/^SQLITE_CONSTRAINT/, 'it has a rule that forbids this'],
  [/^SQLITE_ERROR/, 'it lacks a table or column, or SQLite does not take the statement'],
  [/^(SQLITE_|E)/, 'its disk or SQLite reports an error'],
];

/**
 * Says in our own words why SQLite, or the kernel, could not use a file, with the code of the error: libsql's own texts
 * may quote paths and statements, and change with it. Returns `undefined` for other errors.
 */
export function sqliteTrouble(error: unknown): string | undefined {
  const code = codeOf(error);
  const [, words] = TROUBLES.find(([codes]) => codes.test(code)) ?? [];
  return words && `${words} (${code})`;
}

/** The message of an error: our own words if it is an error of SQLite or of the kernel. */
export const reasonOf = (error: unknown): string =>
  sqliteTrouble(error) ?? (error instanceof Error ? error.message : String(error));

/**
 * The message and the options of an error which says that `what` failed, and why. The cause is kept only if it is not an
 * error of SQLite or of the kernel: log lines show the texts of all causes.
 */
export function becauseOf(what: string, cause: unknown): [message: string, options: ErrorOptions] {
  const trouble = sqliteTrouble(cause);
  return trouble === undefined ? [what, { cause }] : [`${what}: ${trouble}`, {}];
}

function codeOf(error: unknown): string {
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  // libsql gives this error no code.
  if (typeof message === 'string' && message.startsWith('ConnectionFailed(')) return 'SQLITE_CANTOPEN';
  return typeof code === 'string' ? code : '';
}
