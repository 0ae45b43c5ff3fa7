import { type Command, createCommand, InvalidArgumentError, Option } from 'commander';
import { type EventLog, isStreamOf, pause, readLogId, readQuarantines, StoreUnavailable } from '#event-log';
import { type Configuration, configurationFrom, systemClock } from '#platform/without-http';
import { allProjections, type FedProjection } from '#process-managers';
import {
  type BuildInfo,
  compareWithLog,
  type FeedOptions,
  type ReadStore,
  rebuild,
  type RebuildReport,
} from '#read-models';
import { openEventLog, openReadStore } from '#stores';
import { DOCUMENTS_DIFFER, STREAMS_CUT, untilInterrupted } from './exit.js';
import { ProgressBar } from './progress-bar.js';

const NAMES = allProjections.map(({ projection }) => projection.name).join(', ');

interface RebuildCommandOptions {
  readonly acceptDifferences?: boolean;
  readonly grace: number;
}

/** `projections list | rebuild | compare`: an operator's commands on the projections. */
export const projectionsCommand = (): Command =>
  createCommand('projections')
    .description(`the read models and the process manager’s own model: ${NAMES}`)
    .addHelpText(
      'after',
      `\nEnds with 0 when all is well, ${DOCUMENTS_DIFFER} when documents differ, ${STREAMS_CUT} when streams of the log are cut, 1 when it failed.`,
    )
    .addCommand(
      createCommand('list')
        .description('each projection’s builds: which is served, how far it is, who works at it')
        .action(() => withReadStore(configurationFrom(process.env), list)),
    )
    .addCommand(
      createCommand('rebuild')
        .description('make a new build from the log, compare it with the served one, and switch; queries go on')
        .argument('<name>', NAMES, projectionNamed)
        .option('--accept-differences', 'switch also when documents differ from the served build’s')
        .addOption(graceOption())
        .action((projection: FedProjection, options: RebuildCommandOptions) => rebuilt(projection, options)),
    )
    .addCommand(
      createCommand('compare')
        .description('compare the served build with a fold of the log, and change nothing')
        .argument('<name>', NAMES, projectionNamed)
        .action(compared),
    );

export const graceOption = () =>
  new Option('--grace <seconds>', 'how long the replaced build is fed for those who still read it')
    .argParser(seconds)
    .default(60);

function projectionNamed(name: string): FedProjection {
  const named = allProjections.find(({ projection }) => projection.name === name);
  if (!named) throw new InvalidArgumentError(`It is none of ${NAMES}.`);
  return named;
}

function seconds(value: string): number {
  if (!/^\d{1,5}$/.test(value)) throw new InvalidArgumentError('It must be a whole number of seconds.');
  return Number(value);
}

async function list(store: ReadStore): Promise<void> {
  const rows = [['PROJECTION', 'VERSION', 'BUILD', '', 'POSITION', 'LEASE']];
  for (const { projection } of allProjections) {
    const { name, version } = projection;
    const builds = await store.builds(name, version);
    if (builds.length === 0) rows.push([name, String(version), '-', '', '-', '-']);
    for (const info of builds) rows.push([name, String(version), ...(await cellsOf(info, store))]);
  }
  const widths = rows.reduce<number[]>(
    (widest, row) => row.map((cell, at) => Math.max(cell.length, widest[at] ?? 0)),
    [],
  );
  for (const row of rows)
    console.log(
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}

async function cellsOf({ build, checkpoint, served }: BuildInfo, store: ReadStore): Promise<string[]> {
  const lease = await store.lease(build);
  return [
    build,
    served ? 'served' : '',
    checkpoint?.position ?? '-',
    lease ? `${lease.holder}, turn ${lease.turn}` : '-',
  ];
}

/** Returns a function that prints what a rebuild found when it switched. `grace` is in seconds. */
export const switchReporter =
  (grace: number) =>
  ({ replaced, documents, different, examples, notCompared }: RebuildReport): void => {
    const verdict = notCompared ?? `${documents} documents compared, ${different} differ`;
    console.error(`Switched from ${replaced ?? 'nothing'} (${verdict}); the former is fed for ${grace} s more`);
    for (const id of examples) console.error(id);
  };

async function rebuilt(
  { projection }: FedProjection,
  { acceptDifferences = false, grace }: RebuildCommandOptions,
): Promise<void> {
  await withStores(projection, async (feed, signal) => {
    const { build } = await rebuild({
      ...{ ...feed, signal, acceptDifferences, graceMs: grace * 1000 },
      onSwitched: switchReporter(grace),
    });
    console.log(`${projection.name} is served from ${build}`);
  });
}

async function compared({ projection }: FedProjection): Promise<void> {
  await withStores(projection, async (feed, signal) => {
    const quarantined = await readQuarantines(feed.log);
    const cuts = (await feed.log.findCuts(signal)).filter(({ stream }) => !quarantined.has(stream));
    for (const { stream, how } of cuts) console.error(`${stream} ${how}: its events will be lost at the next scavenge`);
    if (cuts.length > 0) process.exitCode = STREAMS_CUT;
    const { documents, different, examples } = await compareWithLog({ ...feed, signal });
    console.log(`${projection.name}: ${documents} documents, ${different} differ from the log`);
    for (const id of examples) console.log(id);
    if (different > 0) process.exitCode = DOCUMENTS_DIFFER;
  });
}

/** Opens the read store of this environment, runs `use` with it, and closes it. */
export async function withReadStore(
  configuration: Configuration,
  use: (store: ReadStore) => Promise<void>,
): Promise<void> {
  const store = await openReadStore(configuration);
  try {
    await use(store);
  } finally {
    await store.close();
  }
}

/** Names the quarantined streams of the projection, because the builds may lack some of their events. */
async function nameQuarantined(log: EventLog, { streams }: FedProjection['projection']): Promise<void> {
  for (const { stream, reason } of (await readQuarantines(log)).values()) {
    if (isStreamOf(streams, stream)) console.error(`Quarantined: ${stream} (${reason})`);
  }
}

type Work = (feed: FeedOptions<unknown>, signal: AbortSignal) => Promise<void>;

/**
 * Opens the stores of this environment, and runs `work` on the stores until `work` is done or interrupted. Shows the
 * progress of `work`.
 */
async function withStores(projection: FedProjection['projection'], work: Work): Promise<void> {
  const configuration = configurationFrom(process.env);
  const log = await openEventLog(configuration, { create: false });
  try {
    const logId = await readLogId(log);
    if (logId === undefined) throw new Error('The event log is empty: there is nothing to build from');
    await withReadStore(configuration, async (store) => {
      const feed = { ...{ log, logId, store, projection, now: systemClock }, observer: storeObserver };
      await untilInterrupted((signal) => showing(feed, () => work(feed, signal)));
      await nameQuarantined(log, projection);
    });
  } finally {
    await log.close();
  }
}

/** Tells the user when the work waits for a store. */
export const storeObserver: FeedOptions<unknown>['observer'] = {
  outageBegan: ({ message }) => {
    console.error(`Waiting: ${message}`);
  },
  outageEnded: () => {
    console.error('Going on');
  },
};

/**
 * Runs `work`, which feeds a new build (copy of the projection's documents). Shows how much of the log the newest build
 * holds.
 */
async function showing(feed: FeedOptions<unknown>, work: () => Promise<void>): Promise<void> {
  const bar = new ProgressBar();
  const over = new AbortController();
  const working = work().finally(() => {
    over.abort();
  });
  try {
    await Promise.all([working, watch(feed, bar, over.signal)]);
  } finally {
    bar.stop();
  }
}

const LOOK_MS = 250;

async function watch(feed: FeedOptions<unknown>, bar: ProgressBar, signal: AbortSignal): Promise<void> {
  const { log, store, projection } = feed;
  for (;;) {
    await pause(LOOK_MS, signal);
    if (signal.aborted) return;
    try {
      const end = await log.end();
      const newest = (await store.builds(projection.name, projection.version)).at(-1);
      if (newest?.checkpoint && end !== undefined) {
        bar.show('folding the log', Number(newest.checkpoint.position) / Number(end), newest.build);
      }
    } catch (error) {
      // The outage affects `work`, too, and `work` reports the outage.
      if (!(error instanceof StoreUnavailable)) throw error;
    }
  }
}
