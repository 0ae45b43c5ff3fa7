import { parentPort, workerData } from 'node:worker_threads';
import type { BookOfRecord } from '#event-log';
import {
  createLogger,
  logWarnings,
  type OutageNotes,
  Starting,
  storeOf,
  StoreOutages,
  systemClock,
} from '#platform/without-http';
import { asError } from '#read-models';
import {
  findingsOf,
  NO_FINDINGS,
  type PendingBook,
  pendingLog,
  type PendingReadStore,
  pendingReadStore,
} from '#stores/without-keys';
import { plainError } from '../../projector/src/plain-error.js';
import { ProjectionRunner } from '../../projector/src/projection-runner.js';
import type {
  Answers,
  FromProjectorThread,
  ProjectorThreadData,
  Question,
  ToProjectorThread,
} from './projector-protocol.js';

// This file is the projector's thread. See `ProjectorThread`.

if (!parentPort) throw new Error('The projector of the standalone runs on a thread of its own');
const port = parentPort;
const { changeCounter, ...configuration } = workerData as ProjectorThreadData;
const tell = (message: FromProjectorThread) => {
  port.postMessage(message);
};
const logger = createLogger(configuration.logLevel, {
  write: (line) => {
    tell({ kind: 'log', line });
  },
});
logWarnings(logger);
const clock = systemClock;
const outages: OutageNotes = {
  failed: (error) => {
    const isOfStore = storeOf(error) !== undefined;
    if (isOfStore) tell({ kind: 'storeFailed', error: plainError(error) });
    return isOfStore;
  },
};
const runner = new ProjectionRunner({ clock, logger, outages, seizeLeases: true });
let stores: readonly [PendingBook, PendingReadStore] | undefined;
let opened: BookOfRecord | undefined;

/** Rejects, which ends the thread, if a store can't be opened and waiting would not help. */
async function start(): Promise<void> {
  // The main thread has opened the same stores before, and logs their outages. Only events that are missing may be
  // found by this thread alone.
  const silent = logger.child({}, { level: 'silent' });
  const context = { configuration, logger: silent, outages: new StoreOutages(silent), clock };
  const complete = (book: BookOfRecord) => Promise.resolve({ book });
  const log = pendingLog(context, { complete, create: false, isSecondary: true, changeCounter, historyLogger: logger });
  const readStore = pendingReadStore(context, 'write');
  stores = [log, readStore];
  const [{ book }, store] = await Promise.all([log.opened, readStore.opened]);
  opened = book;
  runner.start({ book, readStore: store });
  tell({ kind: 'started' });
}

async function check(): Promise<void> {
  if (!stores) throw new Starting('The projector waits until the stores are open');
  await Promise.all(stores.map((store) => store.check()));
}

async function stop(): Promise<void> {
  await runner.stop();
  await Promise.all((stores ?? []).map((store) => store.close()));
  port.close();
}

async function answer(question: Question): Promise<void> {
  tell({ kind: 'answer', question, answer: await ANSWERS[question]() });
}

const ANSWERS: { readonly [Asked in Question]: () => Answers[Asked] | Promise<Answers[Asked]> } = {
  status: () => runner.status(),
  findings: () => (opened ? findingsOf(opened) : NO_FINDINGS),
  check: () =>
    check().then(
      () => undefined,
      (error: unknown) => plainError(asError(error)),
    ),
};

port.on('message', (message: ToProjectorThread) => {
  switch (message.kind) {
    case 'start':
      void start();
      return;
    case 'ask':
      void answer(message.question);
      return;
    case 'stop':
      void stop();
  }
});
