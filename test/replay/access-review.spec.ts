import { consumerClient, subscription } from '#domain';
import { LogUnavailable } from '#event-log';
import { projections, ReadModelQueries } from '#read-models';
import { accessReview, findEvents, pastMomentOf, reviewManifest, type ReviewRow, tokenUpTo } from '#replay';
import type { ManagementDependencies } from '../../apps/management/src/dependencies.js';
import {
  AccessReviewParameters,
  GetAccessReview,
  GetAccessReviewHandler,
} from '../../apps/management/src/replay/get-access-review.js';
import { clientNamed, Stage, WORKSPACE } from './stage.js';

let stage: Stage;

beforeEach(async () => (stage = await Stage.open()));
afterEach(async () => {
  await stage.close();
});

const readModels = () => new ReadModelQueries({ log: stage.log, logId: stage.logId, store: stage.store });
const projectHistory = async () => {
  const { history } = projections;
  await stage.project(history);
  await stage.store.serve(history, undefined, `${history.name}_v${history.version}_1`);
};
const historiesNow = async () => readModels().at(projections.history, await tokenUpTo(stage.book));
const now = () => stage.now().toISOString();
/** Returns the number of reads of each stream while `act` runs. */
const readsDuring = async (act: () => Promise<unknown>): Promise<ReadonlyMap<string, number>> => {
  const reads = new Map<string, number>();
  const reading = jest.spyOn(stage.log, 'readStream');
  try {
    await act();
    for (const [stream] of reading.mock.calls) reads.set(stream, (reads.get(stream) ?? 0) + 1);
  } finally {
    reading.mockRestore();
  }
  return reads;
};
const all = async (rows: AsyncIterable<ReviewRow>) => {
  const found: ReviewRow[] = [];
  for await (const row of rows) found.push(row);
  return found;
};

describe('an access review', () => {
  beforeEach(async () => {
    for (const id of ['sub-a', 'sub-b']) await stage.register(id);
    for (const name of ['one', 'two', 'three']) {
      await stage.create(name);
      for (const id of ['sub-a', 'sub-b']) await stage.assign(name, id);
    }
  });

  it('reads each client and subscription once, the quarantines once, and no client that was created later', async () => {
    const at = now();
    const { basis } = await pastMomentOf(stage.book, { now: at });
    for (const name of ['late', 'later']) await stage.create(name);
    await projectHistory();
    const histories = await historiesNow();
    const past = { basis: { by: 'time', at }, at } as const;
    for (const moment of [past, { basis, at }]) {
      let rows: ReviewRow[] = [];
      const reads = await readsDuring(async () => {
        rows = await all(accessReview(stage.book, histories, { workspaceId: WORKSPACE, moment }));
      });
      expect(rows).toHaveLength(6);
      expect(Object.fromEntries(reads)).toEqual({
        quarantines: 1,
        ...Object.fromEntries(['one', 'two', 'three'].map((name) => [`consumerClient-${clientNamed(name)}`, 1])),
        ...Object.fromEntries(['sub-a', 'sub-b'].map((id) => [subscription.stream(id), 1])),
      });
    }
  });

  it('fails when the log is too slow, and blames no client for it', async () => {
    await projectHistory();
    const moment = await pastMomentOf(stage.book, { now: now() });
    const histories = await historiesNow();
    const read = stage.log.readStream.bind(stage.log);
    const slow = consumerClient.stream(clientNamed('two'));
    const reading = jest.spyOn(stage.log, 'readStream').mockImplementation((stream, options) => {
      return stream === slow ? Promise.reject(new LogUnavailable('No answer in time')) : read(stream, options);
    });
    try {
      const rows = accessReview(stage.book, histories, { workspaceId: WORKSPACE, moment });
      await expect(all(rows)).rejects.toThrow('No answer in time');
    } finally {
      reading.mockRestore();
    }
  });

  it('reads nothing more when its reader has gone', async () => {
    await projectHistory();
    const moment = await pastMomentOf(stage.book, { now: now() });
    const reader = new AbortController();
    const histories = await historiesNow();
    const question = { workspaceId: WORKSPACE, moment, signal: reader.signal };
    const reads = await readsDuring(async () => {
      reader.abort(new Error('gone'));
      await expect(reviewManifest(accessReview(stage.book, histories, question), question, null)).rejects.toThrow(
        'gone',
      );
    });
    expect(reads.size).toBe(0);
  });

  it('waits for its turn: two are read at once, and a place is free again when an answer has ended', async () => {
    await projectHistory();
    const dependencies = { book: stage.book, readModels: readModels(), clock: stage.now };
    const handler = new GetAccessReviewHandler(dependencies as unknown as ManagementDependencies);
    const ask = (answer: AbortController) =>
      handler.execute(new GetAccessReview(WORKSPACE, new AccessReviewParameters(), answer.signal));
    const [first, second, third] = [new AbortController(), new AbortController(), new AbortController()];
    await Promise.all([ask(first), ask(second)]);
    await expect(ask(third)).rejects.toMatchObject({ kind: 'unavailable', code: 'busy', retryAfterSeconds: 10 });
    first.abort();
    const review = await ask(third);
    expect((await review.manifest()).rows).toBe(6);
  });
});

it('the history of a year is found in the index of days once, and its later pages go on from there', async () => {
  for (const name of ['one', 'two', 'three', 'four']) await stage.create(name);
  await projectHistory();
  const histories = await historiesNow();
  const finding = jest.spyOn(histories, 'find');
  const range = { workspaceId: WORKSPACE, from: '2025-06-01T00:00:00.000Z', to: '2026-05-31T00:00:00.000Z', limit: 1 };
  const first = await findEvents(histories, range);
  expect(finding.mock.calls.length).toBeGreaterThan(2 * 360);
  const found = [...first.events];
  for (let { next, through } = first; next !== undefined;) {
    finding.mockClear();
    const page = await findEvents(histories, { ...range, after: next, through });
    expect(finding).toHaveBeenCalledTimes(1);
    found.push(...page.events);
    ({ next, through } = page);
  }
  expect(found.map(({ doc }) => doc.stream)).toEqual(
    ['one', 'two', 'three', 'four'].map((name) => `consumerClient-${clientNamed(name)}`),
  );
});
