// Runs an event log in a separate process. event-log-process.ts starts this process and sends its tasks.
const { randomUUID } = require('node:crypto');
const { writeSync } = require('node:fs');
const { performance } = require('node:perf_hooks');
const { setImmediate: endOfTurn } = require('node:timers/promises');
const { openSqliteEventLog } = require('#event-log/sqlite');

const [, , file] = process.argv;
let writerThread;
process.on('worker', (worker) => (writerThread = worker));

const now = () => performance.timeOrigin + performance.now();
const event = (bytes) => ({ eventId: randomUUID(), type: 'Appended', data: { text: 'x'.repeat(bytes) }, metadata: {} });

async function append(log, stream, bytes) {
  try {
    const appended = await log.append(stream, 'none', [event(bytes)]);
    const acknowledgedAt = now();
    writeSync(1, 'acknowledged\n');
    return { stream, revision: String(appended.revision), position: appended.position, acknowledgedAt };
  } catch (error) {
    return { stream, error: error.name };
  }
}

const tasks = {
  append: (log, { streams, bytes }) => {
    writeSync(1, 'appending\n');
    return Promise.all(streams.map((stream) => append(log, stream, bytes)));
  },
  appendWhileWriterEnds: async (log, { streams, bytes }) => {
    const appends = streams.map((stream) => append(log, stream, bytes));
    // By the end of this turn of the event loop, the writer thread has received the group of appends.
    await endOfTurn();
    await writerThread.terminate();
    return Promise.all(appends);
  },
  appendForever: (log, { prefix, callers }) => {
    for (let caller = 0; caller < callers; caller++) {
      void (async () => {
        for (let count = 0; ; count++) {
          process.send({ acknowledged: await append(log, `${prefix}-${caller}-${count}`, 300) });
        }
      })();
    }
  },
  close: async (log) => {
    await log.close();
    process.disconnect();
  },
};

async function main() {
  const log = await openSqliteEventLog({ file });
  process.on('message', async ({ id, task, input }) => {
    const answer = await tasks[task](log, input);
    if (process.connected) process.send({ id, answer });
  });
  process.send({ ready: true });
}

void main();
