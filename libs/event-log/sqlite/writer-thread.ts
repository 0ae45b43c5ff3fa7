import { parentPort, workerData } from 'node:worker_threads';
import { reasonOf } from '../src/sqlite-files.js';
import { GroupCommit } from './group-commit.js';
import { fileIdentityOf, NotAnEventLog, openForWriting, REPLACED } from './schema.js';
import { SnapshotWriter } from './snapshot-writer.js';
import { probeWrite } from './write-probe.js';
import type { FromWriterThread, ToWriterThread, WriterThreadOptions } from './writer-protocol.js';

// The writer runs in a separate thread, because a disk sync blocks the thread that waits for the sync.

if (!parentPort) throw new Error('The writer runs in a thread of its own');
const port = parentPort;
const tell = (message: FromWriterThread) => {
  port.postMessage(message);
};

function serve({ file, busyMs }: WriterThreadOptions): void {
  const db = openForWriting(file, busyMs);
  const groups = new GroupCommit(db, busyMs);
  const snapshots = new SnapshotWriter(file);
  const opened = fileIdentityOf(file);
  /** Sends the answer that `work` makes, or says why the work failed. */
  const answer = (work: () => FromWriterThread) => {
    try {
      // What is written to a replaced file would be lost, because the next process opens the new file.
      if (fileIdentityOf(file) !== opened) throw new Error(REPLACED);
      tell(work());
    } catch (error) {
      tell({ kind: 'failed', reason: reasonOf(error) });
    }
  };
  port.on('message', (message: ToWriterThread) => {
    switch (message.kind) {
      case 'group':
        answer(() => {
          const outcomes = groups.commit(message.appends);
          return { kind: 'committed', outcomes, eventTimes: groups.takeEventTimes() };
        });
        return;
      case 'snapshot':
        answer(() => ({ kind: 'saved', firstPart: snapshots.write(message.write) }));
        return;
      case 'probe':
        answer(() => {
          probeWrite(db, file, message.isThorough);
          return { kind: 'probed' };
        });
        return;
      case 'close':
        snapshots.close();
        try {
          db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
        } catch {
          // A failed checkpoint loses nothing: the events stay in the write-ahead log until a later checkpoint.
        }
        db.close();
        port.close();
    }
  });
  tell({ kind: 'opened', eventTimes: groups.takeEventTimes() });
}

try {
  serve(workerData as WriterThreadOptions);
} catch (error) {
  tell({ kind: error instanceof NotAnEventLog ? 'refused' : 'failed', reason: reasonOf(error) });
}
