import { randomUUID } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { InvalidArgumentError, Option } from 'commander';
import { MasterKeys } from '#credentials';
import { DomainError, MAX_REASON_LENGTH, trimmedText, type WorkspaceId } from '#domain';
import {
  type BookOfRecord,
  type EventLog,
  internalContext,
  openBookOfRecord,
  readLogId,
  recordSigningKeyOperation,
  requireCommonClock,
} from '#event-log';
import type { CommandContext, SigningKeyOperation } from '#events';
import {
  type Configuration,
  ConfigurationError,
  configurationFrom,
  prepareDirectory,
  systemClock,
} from '#platform/without-http';
import { asError } from '#read-models';
import { masterKeyPath, openEventLog, standaloneMasterKey } from '#stores';
import { MAX_SUBJECT_LENGTH, requireFittingMasterKeys, SigningKeyOperations, SigningKeyRing } from '#tokens';
import { CommandFailed, ExitCode, usageError } from './exit.js';

/** Parses a text that is kept in an event. Throws an error of usage, which names the option, if it can't be kept. */
const keptText =
  (max: number) =>
  (text: string): string => {
    try {
      return trimmedText(text, max, 'invalid_text', 'It');
    } catch (error) {
      throw error instanceof DomainError ? new InvalidArgumentError(`${error.detail}.`) : error;
    }
  };

/** An option with the name of an operator, which is stored with the events of the operator's command. */
export const operatorOption = (flags: string, description: string) =>
  new Option(flags, description).argParser(keptText(MAX_SUBJECT_LENGTH)).default('cli');

export const subjectOption = () => operatorOption('--subject <name>', 'who acts, as the history names it');

/** The option `--reason` of an operator's act. */
export const reasonOption = (description = 'why; kept for ever') =>
  new Option('--reason <text>', description).argParser(keptText(MAX_REASON_LENGTH));

/** Makes the context of an operator's command. Each call makes a new command id. */
export const operatorContext = (subject: string, workspaceId?: WorkspaceId): CommandContext =>
  internalContext({ via: 'cli', subject, workspaceId });

/**
 * Throws `ConfigurationError` if `DATA_DIR` is set, this environment keeps something there, and it names no directory.
 * So a mistyped name is noticed before a command makes anything.
 */
export function requireDataDir(env: NodeJS.ProcessEnv): void {
  const { dataDir, eventStoreDbUrl, mongoDbUrl } = configurationFrom(env);
  const isUsed = eventStoreDbUrl === undefined || mongoDbUrl === undefined;
  if (!env.DATA_DIR?.trim() || !isUsed) return;
  if (existsSync(dataDir) && statSync(dataDir).isDirectory()) return;
  throw new ConfigurationError('DATA_DIR', `names no directory: ${dataDir}`);
}

/** Throws `ConfigurationError` unless `DATA_DIR` holds at least one of the files. The message calls them `what`. */
export function requireInDataDir(dataDir: string, what: string, ...files: readonly string[]): void {
  if (files.some((file) => existsSync(join(dataDir, file)))) return;
  throw new ConfigurationError('DATA_DIR', `has no ${what} (${dataDir}): start the service first`);
}

/**
 * Creates the directory with mode 0700 if it is missing, and its parents. Throws a usage error, which names the
 * argument, if the directory can't be created, read or written.
 */
export function prepareNamedDirectory(path: string, argument: string): void {
  try {
    prepareDirectory(path);
  } catch (error) {
    throw usageError(`${argument} can't be used (${path}): ${asError(error).message}`);
  }
}

/**
 * Opens this environment's event log, runs `work` with it, and closes the log. The service may run at the same time.
 * Throws `ClockApart` if this process's clock and the log's clock differ too much, and an error if the log is empty.
 */
export async function withBook<T>(work: (book: BookOfRecord) => Promise<T>): Promise<T> {
  const configuration = configurationFrom(process.env);
  const log = await openEventLog(configuration, { create: false });
  try {
    if ((await readLogId(log)) === undefined) throw new Error('This event log is empty: start the service first');
    const book = await openBookOfRecord(log, systemClock, configuration.eventVersions);
    requireCommonClock(log);
    return await work(book);
  } finally {
    await log.close();
  }
}

/** An operator, and why the operator acts. */
export interface ActOptions {
  readonly reason?: string;
  readonly subject: string;
}

/**
 * Does the same as `withBook`, but gives `work` the operations on the signing keys, and records the keys that it has
 * changed as an act of the operator. Also throws `MasterKeyMismatch` if this environment's master keys don't fit the
 * log, and `CommandFailed` (exit code 5) if the act can't be recorded.
 */
export async function withSigningKeys<T>(
  operation: SigningKeyOperation,
  { subject, reason }: ActOptions,
  work: (operations: SigningKeyOperations) => Promise<T>,
): Promise<T> {
  const configuration = configurationFrom(process.env);
  const masterKeys = masterKeysOf(configuration);
  const correlationId = randomUUID();
  const newContext = () => internalContext({ via: 'cli', subject, correlationId });
  return withBook(async ({ log, signingKeys }) => {
    const ring = new SigningKeyRing(signingKeys, masterKeys, { alg: configuration.tokenAlg, now: systemClock });
    await ring.start();
    const before = (await signingKeys.read()).state.keys;
    const result = await work(
      new SigningKeyOperations(signingKeys, { ring, masterKeys, now: systemClock, newContext }),
    );
    const { keys } = (await signingKeys.read()).state;
    const changed = keys.filter((key) => !before.some((known) => isDeepStrictEqual(known, key)));
    if (changed.length > 0) {
      const kids = changed.map(({ kid }) => kid);
      const act = { reason, context: newContext(), now: systemClock };
      await recorded('The keys were changed', recordSigningKeyOperation(log, { operation, kids }, act));
    }
    return result;
  });
}

/**
 * Waits until an act that was done is recorded. Throws `CommandFailed` (exit code 5) with `done`, which says what was
 * done, if it can't be recorded.
 */
export async function recorded(done: string, recording: Promise<void>): Promise<void> {
  try {
    await recording;
  } catch (error) {
    throw new CommandFailed(
      ExitCode.INCOMPLETE,
      `${done}, but the event log does not tell why: ${asError(error).message}`,
    );
  }
}

/**
 * Returns the master keys that this environment's service uses. Never creates a master key; throws
 * `ConfigurationError` if there is none.
 */
export function masterKeysOf({ masterKey, previousMasterKeys, dataDir }: Configuration): MasterKeys {
  if (!masterKey && !existsSync(masterKeyPath(dataDir))) {
    const reason = `has no master key (${masterKeyPath(dataDir)}): start the service first, or set MASTER_KEY`;
    throw new ConfigurationError('DATA_DIR', reason);
  }
  return MasterKeys.from({ current: masterKey ?? standaloneMasterKey(dataDir), previous: previousMasterKeys });
}

/** Throws `MasterKeyMismatch` unless this environment has the master keys of the log, which must not be empty. */
export async function requireOwnMasterKeys(log: EventLog, configuration: Configuration): Promise<void> {
  const { signingKeys } = await openBookOfRecord(log, systemClock);
  requireFittingMasterKeys((await signingKeys.read()).state, masterKeysOf(configuration));
}
