import { CatchUpReader, type EventLog, LogUnavailable, settledWithin } from '#event-log';
import type { RecordedEvent } from '#events';
import { Stage } from '../../../test/replay/stage.js';

const CLIENTS = 60;
const batchSize = 5;
/** The number of batches that a pass keeps. */
const KEPT = 4;
/** No test lasts this long, so a follower that waits for another one waits until that one comes or ends. */
const WAITS_MS = 600_000;

describe('followers that catch up at the same time', () => {
  let stage: Stage;
  let events: RecordedEvent[];
  let stop: AbortController;
  /** For each subscription to the log, the events that it has delivered. */
  let delivered: RecordedEvent[][];
  let reader: CatchUpReader;

  beforeAll(async () => {
    stage = await Stage.open();
    for (let n = 0; n < CLIENTS; n++) await stage.create(n);
    events = await stage.events();
  });
  afterAll(() => stage.close());

  beforeEach(() => {
    stop = new AbortController();
    delivered = [];
    reader = new CatchUpReader(observed(), 2, WAITS_MS);
  });
  afterEach(() => {
    stop.abort();
  });

  /** The stage's log, which records what it delivers, and may fail after some batches. */
  function observed(failAfter = Infinity): EventLog {
    async function* subscribe(options: Parameters<EventLog['subscribe']>[0]) {
      const seen: RecordedEvent[] = [];
      let batches = 0;
      delivered.push(seen);
      for await (const batch of stage.log.subscribe(options)) {
        if (++batches > failAfter && delivered.length === 1) throw new LogUnavailable('Not now');
        seen.push(...batch.events);
        yield batch;
      }
    }
    return Object.assign(Object.create(stage.log) as EventLog, { subscribe });
  }

  const begin = (after?: string, signal = stop.signal) =>
    reader.subscribe({ signal, batchSize, ...(after !== undefined && { after }) })[Symbol.asyncIterator]();

  /** Reads up to the log's end. */
  async function rest(follower: ReturnType<typeof begin>): Promise<RecordedEvent[]> {
    const seen: RecordedEvent[] = [];
    for (;;) {
      const result = await follower.next();
      if (result.done === true) throw new Error('The subscription has ended');
      seen.push(...result.value.events);
      if (result.value.caughtUp) return seen;
    }
  }

  it('get every event, which is read only once', async () => {
    const all = await Promise.all([rest(begin()), rest(begin()), rest(begin())]);
    expect(all).toEqual([events, events, events]);
    expect(delivered).toEqual([events]);
  });

  it('go on with new events, each by itself, after the end of the log', async () => {
    const followers = [begin(), begin()];
    await Promise.all(followers.map(rest));
    const last = events.at(-1)?.position ?? '';
    const { position } = await stage.rename(1, 'Later');
    for (const follower of followers) {
      const [later] = await rest(follower);
      expect(later?.position).toBe(position);
      expect(later && later.position > last).toBe(true);
    }
    events = await stage.events();
  });

  it('share a pass only if they are at the same place', async () => {
    reader = new CatchUpReader(observed(), 1, WAITS_MS);
    const middle = events[20]?.position;
    const [whole, part] = await Promise.all([rest(begin()), rest(begin(middle))]);
    expect(whole).toEqual(events);
    expect(part).toEqual(events.slice(21));
    expect(delivered).toHaveLength(2);
  });

  it('wait for the slowest one, and keep few batches', async () => {
    const slow = begin();
    const fast = begin();
    await slow.next();
    for (let batch = 0; batch <= KEPT; batch++) await fast.next();
    const next = fast.next();
    expect(await settledWithin(next, 100)).toBe(false);
    expect(delivered[0]).toHaveLength((KEPT + 1) * batchSize);
    await slow.next();
    await next;
    const [ofFast, ofSlow] = await Promise.all([rest(fast), rest(slow)]);
    expect(ofFast).toEqual(events.slice((KEPT + 2) * batchSize));
    expect(ofSlow).toEqual(events.slice(2 * batchSize));
    expect(delivered).toEqual([events]);
  });

  it('wait for the others to begin', async () => {
    const early = rest(begin());
    expect(await settledWithin(early, 100)).toBe(false);
    expect(await rest(begin())).toEqual(events);
    expect(await early).toEqual(events);
    expect(delivered).toEqual([events]);
  });

  it('leave behind one that is too slow, which then reads by itself', async () => {
    reader = new CatchUpReader(observed(), 2, 50);
    const slow = begin();
    const fast = begin();
    await slow.next();
    expect(await rest(fast)).toEqual(events);
    expect(delivered).toHaveLength(1);
    expect(await rest(slow)).toEqual(events.slice(batchSize));
    expect(delivered).toHaveLength(2);
  });

  it('do not wait for one that has ended', async () => {
    const ended = new AbortController();
    const quitter = begin(undefined, ended.signal);
    await quitter.next();
    const other = begin();
    for (let batch = 0; batch <= KEPT; batch++) await other.next();
    const next = other.next();
    expect(await settledWithin(next, 100)).toBe(false);
    ended.abort();
    expect((await quitter.next()).done).toBe(true);
    await next;
    expect(await rest(other)).toEqual(events.slice((KEPT + 2) * batchSize));
    expect(delivered).toEqual([events]);
  });

  it('all get the error when the log fails, and then begin a new pass', async () => {
    reader = new CatchUpReader(observed(3), 2);
    const failing = [begin(), begin()].map((follower) => rest(follower));
    for (const reading of failing) await expect(reading).rejects.toBeInstanceOf(LogUnavailable);
    expect(await Promise.all([rest(begin()), rest(begin())])).toEqual([events, events]);
    expect(delivered).toEqual([events.slice(0, 3 * batchSize), events]);
  });
});
