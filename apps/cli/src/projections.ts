import { type Command, createCommand, InvalidArgumentError, Option } from 'commander';
import { type EventLog, isStreamOf, pause, readLogId, readQuarantines, StoreUnavailable } from '#event-log';
import type { Position } from '#events';
import { type Configuration, configurationFrom, systemClock } from '#platform/without-http';
import { allProjections, type FedProjection } from '#process-managers';
import {
  type BuildInfo,
  compareWithLog,
  type FeedOptions,
  type Lease,
  type ReadStore,
  rebuild,
  type RebuildReport,
} from '#read-models';
import { openEventLog, openReadStore } from '#stores';
import { requireInDataDir } from './environment.js';
import { ExitCode, untilInterrupted } from './exit.js';
import { counted, printResult, tableLines } from './output.js';
import { ProgressBar } from './progress-bar.js';
import { type BuildState, type OpenStores, stateOf } from './projection-states.js';

const NAMES = allProjections.map(({ projection }) => projection.name).join(', ');

interface RebuildCommandOptions {
  readonly acceptDifferences?: boolean;
  readonly grace: number;
}

/** `projections list | rebuild | compare`: an operator's commands on the projections. */
export const projectionsCommand = (): Command =>
  createCommand('projections')
    .description(`the read models and the process manager’s own model: ${NAMES}`)
    .addCommand(
      createCommand('list')
        .description('each projection’s builds: which is served, who works at it, how far it is, and why it stopped')
        .action(() => withBothStores({ create: false }, list)),
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

const COLUMNS = ['PROJECTION', 'VERSION', 'BUILD', '', 'POSITION', 'LEASE', 'LAG', 'STATE', 'REASON'];

async function list(stores: OpenStores): Promise<void> {
  const found: ListedBuild[] = [];
  for (const { projection } of allProjections) found.push(...(await buildsOf(stores, projection)));
  printResult(found, tableLines(COLUMNS, found.map(cellsOf)));
}

interface ListedBuild extends Omit<BuildState, 'state'> {
  readonly projection: string;
  readonly version: number;
  readonly build: BuildInfo['build'] | null;
  readonly served: boolean;
  readonly position: Position | null;
  readonly lease: Pick<Lease, 'holder' | 'turn'> | null;
  readonly state: BuildState['state'] | 'MISSING';
}

async function buildsOf(stores: OpenStores, projection: FedProjection['projection']): Promise<ListedBuild[]> {
  const { store } = stores;
  const { name, version } = projection;
  const named = { projection: name, version };
  const builds = await store.builds(name, version);
  if (builds.length === 0) {
    const none = { build: null, served: false, position: null, lease: null, lagSeconds: null } as const;
    return [{ ...named, ...none, state: 'MISSING', reason: 'no process has built it yet' }];
  }
  return Promise.all(
    builds.map(async (info) => {
      const { build, served, checkpoint } = info;
      const lease = await store.lease(build);
      return {
        ...{ ...named, build, served, position: checkpoint?.position ?? null },
        lease: lease ? { holder: lease.holder, turn: lease.turn } : null,
        ...(await stateOf(stores, projection, info, systemClock())),
      };
    }),
  );
}

const cellsOf = ({ projection, version, build, served, position, lease, ...state }: ListedBuild): string[] => [
  ...[projection, String(version), build ?? '-', served ? 'served' : '', position ?? '-'],
  lease ? `${lease.holder}, turn ${lease.turn}` : '-',
  state.lagSeconds === null ? '-' : `${state.lagSeconds} s`,
  state.state,
  state.reason ?? '',
];

/** Returns a function that prints what a rebuild found when it switched. `grace` is in seconds. */
export const switchReporter =
  (grace: number) =>
  ({ replaced, documents, different, examples, notCompared }: RebuildReport): void => {
    const verdict = notCompared ?? `${counted(documents, 'document')} compared, ${different} different`;
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
    printResult({ projection: projection.name, build }, [`${projection.name} is served from ${build}`]);
  });
}

async function compared({ projection }: FedProjection): Promise<void> {
  await withStores(projection, async (feed, signal) => {
    const quarantined = await readQuarantines(feed.log);
    const cuts = (await feed.log.findCuts(signal)).filter(({ stream }) => !quarantined.has(stream));
    for (const { stream, how } of cuts) console.error(`${stream} ${how}: its events will be lost at the next scavenge`);
    if (cuts.length > 0) process.exitCode = ExitCode.STREAMS_CUT;
    const { documents, different, examples } = await compareWithLog({ ...feed, signal });
    printResult({ projection: projection.name, documents, different, examples, cuts }, [
      `${projection.name}: ${counted(documents, 'document')}, ${different} different from the log`,
      ...examples,
    ]);
    if (different > 0) process.exitCode = ExitCode.DOCUMENTS_DIFFER;
  });
}

export interface ReadStoreOptions {
  /** Whether a missing SQLite file is created beside an event log. */
  readonly create: boolean;
}

/**
 * Opens the read store of this environment, runs `use` with it, and closes it. Throws `ConfigurationError` if the SQLite
 * file is missing and is not created.
 */
export async function withReadStore(
  configuration: Configuration,
  { create }: ReadStoreOptions,
  use: (store: ReadStore) => Promise<void>,
): Promise<void> {
  const { dataDir, mongoDbUrl } = configuration;
  const files = create ? ['read-models.db', 'event-log.db'] : ['read-models.db'];
  if (mongoDbUrl === undefined) requireInDataDir(dataDir, 'read models', ...files);
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

/** Opens the stores of this environment, runs `use` with them, and closes them. */
async function withBothStores(options: ReadStoreOptions, use: (stores: OpenStores) => Promise<void>): Promise<void> {
  const configuration = configurationFrom(process.env);
  const log = await openEventLog(configuration, { create: false });
  try {
    const logId = await readLogId(log);
    if (logId === undefined) throw new Error('The event log is empty: there is nothing to build from');
    await withReadStore(configuration, options, (store) => use({ log, logId, store }));
  } finally {
    await log.close();
  }
}

/** Runs `work` on the stores of this environment until it is done or interrupted. Shows the progress of `work`. */
const withStores = (projection: FedProjection['projection'], work: Work): Promise<void> =>
  withBothStores({ create: true }, async (stores) => {
    const feed = { ...stores, projection, now: systemClock, observer: storeObserver };
    await untilInterrupted((signal) => showing(feed, () => work(feed, signal)));
    await nameQuarantined(stores.log, projection);
  });

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
