import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Command, createCommand, Option } from 'commander';
import { type EventLog, readLogId, unsealLog } from '#event-log';
import { ConfigurationError, configurationFrom, systemClock } from '#platform/without-http';
import { refusedUrl } from '#stores';
import { prepareNamedDirectory, requireOwnMasterKeys } from './environment.js';
import { notFound, untilInterrupted, usageError } from './exit.js';
import { adoptCommand } from './log-adopt/adopt-command.js';
import { copyLog, type CopyPhase } from './log-copy/copy-log.js';
import { quarantineCommand } from './log-quarantine/quarantine-command.js';
import { counted, printResult } from './output.js';
import { ProgressBar } from './progress-bar.js';

interface CopyCommandOptions {
  readonly from: string;
  readonly fromPrefix?: string;
  readonly to?: string;
  readonly toPrefix?: string;
  readonly unseal?: true;
}

/**
 * `log copy`: copies the book of record to another store. With `--unseal`, makes the source of a copy accept events
 * again. `log quarantine`: lets everything else go on without a damaged stream. `log adopt`: lets the processes go on
 * after a restore.
 */
export const logCommand = (): Command =>
  createCommand('log')
    .description('the event log')
    .addCommand(
      createCommand('copy')
        .description(
          'copy the book of record to another store; the source is sealed. Interrupted, it goes on when repeated',
        )
        .requiredOption(
          '--from <place>',
          'SQLite file, or connection string of EventStoreDB (esdb://… or kurrentdb://…)',
        )
        .option('--from-prefix <prefix>', "EVENTSTOREDB_PREFIX of the source, if it isn't this environment's")
        .addOption(
          new Option('--to <place>', 'as --from: without events of ours, or begun by this copy').conflicts('unseal'),
        )
        .addOption(new Option('--to-prefix <prefix>', 'as --from-prefix, for the target').conflicts('unseal'))
        .addOption(new Option('--unseal', 'copy nothing, and let the source be written to again'))
        .action(async ({ from, to, unseal, ...prefixes }: CopyCommandOptions, command: Command) => {
          if (to === undefined && !unseal)
            command.error("error: name the target with '--to', or '--unseal' the source");
          const configuration = configurationFrom(process.env);
          const { fenceMaxAgeMs, eventStoreDbPrefix } = configuration;
          const { fromPrefix = eventStoreDbPrefix, toPrefix = eventStoreDbPrefix } = prefixes;
          const prefixNameOf = (side: 'from' | 'to') =>
            prefixes[`${side}Prefix`] === undefined ? 'EVENTSTOREDB_PREFIX' : `--${side}-prefix`;
          const opening = openLogAt(from, {
            ...{ option: '--from', create: false, fenceMaxAgeMs },
            ...{ prefix: fromPrefix, prefixName: prefixNameOf('from') },
          });
          await withLog(opening, async (source) => {
            if (to === undefined) return unsealed(source);
            // Without the right master keys, the credentials in the copy would be useless.
            if ((await readLogId(source)) !== undefined) await requireOwnMasterKeys(source, configuration);
            const openingTarget = openLogAt(to, {
              ...{ option: '--to', create: true, fenceMaxAgeMs },
              ...{ prefix: toPrefix, prefixName: prefixNameOf('to') },
            });
            await withLog(openingTarget, (target) => copied(source, target));
          });
        }),
    )
    .addCommand(quarantineCommand())
    .addCommand(adoptCommand());

interface LogPlaceOptions {
  /** The option that names the place, for errors. */
  readonly option: '--from' | '--to';
  /** Whether to create the SQLite file if the file does not exist. */
  readonly create: boolean;
  /** The prefix of our streams on an EventStoreDB server. */
  readonly prefix: string;
  /** The option, or the environment variable, that gives the prefix, for errors. */
  readonly prefixName: string;
  readonly fenceMaxAgeMs: number;
}

/**
 * Opens the event log at `place`: an SQLite file, or the connection string of an EventStoreDB server. Throws
 * `LogUnavailable`, and a usage error, which names the option, for a bad connection string, prefix or directory.
 */
async function openLogAt(
  place: string,
  { option, create, prefix, prefixName, fenceMaxAgeMs }: LogPlaceOptions,
): Promise<EventLog> {
  if (/^(esdb|kurrentdb|kurrent|kdb)(\+discover)?:\/\//.test(place)) {
    const { InvalidPrefix, openEventStoreDbLog } = await import('#event-log/eventstoredb');
    try {
      return openEventStoreDbLog({ url: place, urlName: option, prefix, fenceMaxAgeMs });
    } catch (error) {
      if (error instanceof InvalidPrefix) throw usageError(`${prefixName} can't be used: ${error.message}`);
      const refused = refusedUrl(option, error);
      throw refused instanceof ConfigurationError ? usageError(refused.message) : refused;
    }
  }
  const file = resolve(place);
  if (create) prepareNamedDirectory(dirname(file), option);
  else if (!existsSync(file)) throw notFound(`${option}: there is no file ${file}`);
  const { openSqliteEventLog } = await import('#event-log/sqlite');
  return openSqliteEventLog({ file });
}

async function withLog(opening: Promise<EventLog>, use: (log: EventLog) => Promise<void>): Promise<void> {
  const log = await opening;
  try {
    await use(log);
  } finally {
    await log.close();
  }
}

async function unsealed(source: EventLog): Promise<void> {
  const wasSealed = await unsealLog(source, { reason: 'Unsealed from the command line', now: systemClock });
  printResult({ wasSealed }, [
    wasSealed
      ? 'The log takes events again. Use no copy of it from now on: the two are different books.'
      : 'The log was not sealed.',
  ]);
}

const PHASES: Readonly<Record<CopyPhase, string>> = {
  verifying: 'looking at what is there',
  settling: 'the source is sealed; waiting for what was under way',
  copying: 'copying',
  comparing: 'comparing every stream',
};

async function copied(source: EventLog, target: EventLog): Promise<void> {
  const bar = new ProgressBar();
  try {
    const { events, streams, appended, quarantined } = await untilInterrupted((signal) =>
      copyLog({
        ...{ source, target, signal, now: systemClock },
        onProgress: (phase, done, soFar) => {
          bar.show(PHASES[phase], done, `${soFar} events`);
        },
        onCut: ({ stream, how }) => {
          console.error(`${stream} of the source ${how}: its events will be lost at the next scavenge there`);
        },
      }),
    );
    bar.stop();
    for (const stream of quarantined) console.error(`Left out, because it is quarantined: ${stream}`);
    printResult({ events, streams, appended, quarantined }, [
      `Copied ${counted(events, 'event')} of ${counted(streams, 'stream')}, ${appended} of them now; every stream is the same.
The source stays sealed. Start the processes on the target, with the same master key; their read models are to be
rebuilt: give them an empty read store, or run 'consumer-clients projections rebuild <name>' for each.`,
    ]);
  } finally {
    bar.stop();
  }
}
