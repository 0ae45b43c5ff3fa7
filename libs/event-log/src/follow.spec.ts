import {
  applying,
  type EventLog,
  follow,
  type FollowedEvent,
  type FollowOptions,
  LogUnavailable,
  ProjectionStopped,
  RebuildNeeded,
} from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { checkpointOf } from '#read-models';
import { silent, Stage, until } from '../../../test/replay/stage.js';

const BUILD = 'effects_v1_1';

/** A connection to a log. A test can cut the connection, and then connect to the same log or to another log. */
class Connection implements EventLog {
  readonly sealHoldsAfterMs = 0;
  readonly connectionEpoch = 0;
  readonly clockSkewMs = 0;
  readonly clockBehindMs = 0;
  failures = 0;
  private cut = new AbortController();

  constructor(private log: EventLog | undefined) {}

  connect(log: EventLog | undefined): void {
    this.log = log;
    this.cut.abort();
    this.cut = new AbortController();
  }

  get missingHistory() {
    return this.connected().missingHistory;
  }

  get restored() {
    return this.connected().restored;
  }

  get snapshots() {
    return this.connected().snapshots;
  }

  readStream(...args: Parameters<EventLog['readStream']>) {
    return this.connected().readStream(...args);
  }

  append(...args: Parameters<EventLog['append']>) {
    return this.connected().append(...args);
  }

  close(): Promise<void> {
    return this.connected().close();
  }

  readAll(...args: Parameters<EventLog['readAll']>) {
    return this.connected().readAll(...args);
  }

  eventAt(...args: Parameters<EventLog['eventAt']>) {
    return this.connected().eventAt(...args);
  }

  end() {
    return this.connected().end();
  }

  async *subscribe(options: Parameters<EventLog['subscribe']>[0]) {
    const { signal: cut } = this.cut;
    yield* this.connected().subscribe({ ...options, signal: AbortSignal.any([options.signal, cut]) });
    if (cut.aborted) throw new LogUnavailable('The connection was cut');
  }

  mark(): Promise<void> {
    return this.connected().mark();
  }

  rememberNewest(): Promise<void> {
    return this.connected().rememberNewest();
  }

  findCuts(signal?: AbortSignal) {
    return this.connected().findCuts(signal);
  }

  watchCuts(...args: Parameters<EventLog['watchCuts']>) {
    return this.connected().watchCuts(...args);
  }

  private connected(): EventLog {
    if (this.log) return this.log;
    this.failures += 1;
    throw new LogUnavailable('There is no connection');
  }
}

describe('the loop by which everything follows the log', () => {
  let stage: Stage;
  let stop: AbortController;
  let running: Promise<void> | undefined;
  let seen: FollowedEvent[];

  beforeEach(async () => {
    stage = await Stage.open();
    stop = new AbortController();
    seen = [];
    await stage.store.prepare(BUILD, { name: 'effects', version: 1, indexes: [] });
  });

  afterEach(async () => {
    stop.abort();
    await running?.catch(() => undefined);
    await stage.close();
  });

  const start = (options: Partial<FollowOptions> = {}): Promise<void> => {
    running = follow({
      ...{ name: 'effects', log: stage.log, logId: stage.logId, checkpoints: checkpointOf(stage.store, BUILD) },
      apply: (events) => {
        seen.push(...events);
        return Promise.resolve();
      },
      signal: stop.signal,
      observer: { ...silent, progressed: () => undefined },
      ...options,
    });
    return running;
  };
  const types = () => seen.map(({ type }) => type);
  const checkpoint = () => stage.store.checkpoint(BUILD);

  it('applies every event once, in order, in its current and its stored form, and continues after a restart', async () => {
    await stage.create('a');
    void start();
    await until(() => seen.length === 2);
    stop.abort();
    await running;
    stop = new AbortController();
    await stage.rename('a', 'Later');
    void start();
    await until(() => seen.length === 3);
    expect(types()).toEqual(['LogCreated', 'ConsumerClientCreated', 'ConsumerClientRenamed']);
    expect(seen.map(({ recorded }) => recorded)).toEqual(await stage.events());
  });

  it('stores the checkpoint after the effects, never before', async () => {
    const { position } = await stage.create('a');
    const before: unknown[] = [];
    void start({
      apply: async (events) => {
        before.push((await checkpoint())?.position);
        seen.push(...events);
      },
      batchSize: 1,
    });
    await until(async () => (await checkpoint())?.position === position);
    expect(before).toEqual([undefined, seen[0]?.position]);
  });

  it('resumes after an outage of the log, reports it once, and applies nothing twice', async () => {
    const told: string[] = [];
    const observer = {
      progressed: () => undefined,
      outageBegan: ({ message }: Error) => told.push(message),
      outageEnded: () => told.push('over'),
    };
    const connection = new Connection(stage.log);
    void start({ log: connection, observer });
    await until(() => seen.length === 1);
    connection.connect(undefined);
    await stage.create('a');
    await until(() => told.length === 1);
    await until(() => connection.failures === 3);
    connection.connect(stage.log);
    await until(() => seen.length === 2);
    await until(() => told.length === 2);
    expect(told).toEqual(['The connection was cut', 'over']);
    expect(types()).toEqual(['LogCreated', 'ConsumerClientCreated']);
  });

  it('asks for a rebuild when a reconnect leads to another log', async () => {
    const other = await Stage.open();
    try {
      const connection = new Connection(stage.log);
      const followed = start({ log: connection });
      await until(() => seen.length === 1);
      connection.connect(other.log);
      await expect(followed).rejects.toThrow(RebuildNeeded);
    } finally {
      await other.close();
    }
  });

  it('asks for a rebuild when the log has no events any more', async () => {
    const empty = await openSqliteEventLog({ file: `${stage.directory}/empty.db` });
    await expect(start({ log: empty })).rejects.toThrow('exchanged for an empty one');
    await empty.close();
  });

  it('applies the events before one that it can’t apply, then stops and names that event', async () => {
    await stage.create('a');
    await stage.rename('a', 'Fine');
    await stage.revoke('a');
    const revoked = (await stage.events()).at(-1);
    const carriedOut: string[] = [];
    const stopped = start({
      apply: (events) => {
        for (const event of events) {
          applying('effects', event, () => {
            if (event.type === 'ConsumerClientRevoked') throw new Error('no way to do it');
            carriedOut.push(event.type);
          });
        }
        return Promise.resolve();
      },
    });
    await expect(stopped).rejects.toThrow(ProjectionStopped);
    await expect(stopped).rejects.toThrow(/effects can't apply ConsumerClientRevoked \(consumerClient-\S+, revision 2/);
    expect(new Set(carriedOut)).toEqual(new Set(['LogCreated', 'ConsumerClientCreated', 'ConsumerClientRenamed']));
    expect((await checkpoint())?.position).toBe((await stage.events()).at(-2)?.position);
    expect(revoked?.type).toBe('ConsumerClientRevoked');
  });

  it('continues from the checkpoint that another follower has stored', async () => {
    void start({ idleCheckMs: 10 });
    await until(() => seen.length === 1);
    await stage.create('a');
    const [first, second] = await stage.events();
    await until(async () => (await checkpoint())?.eventId === second?.eventId);
    const stored = await checkpoint();
    if (!first || !stored) throw new Error('nothing was stored');
    // `behind` is an earlier checkpoint. A store that was restored to an older state has such a checkpoint.
    const behind = { logId: stage.logId, position: first.position, eventId: first.eventId };
    expect(await stage.store.advance(BUILD, stored, behind)).toBe(true);
    await until(() => seen.length === 3);
    expect(types()).toEqual(['LogCreated', 'ConsumerClientCreated', 'ConsumerClientCreated']);
  });

  it('ends quietly when its signal aborts, even in an outage', async () => {
    const connection = new Connection(undefined);
    void start({ log: connection });
    await until(() => connection.failures > 0);
    stop.abort();
    await running;
    expect(seen).toEqual([]);
  });
});
