import { parentPort, workerData } from 'node:worker_threads';
import { GroupCommit } from './group-commit.js';
import { NotAnEventLog, REPLACED, fileIdentityOf, openForWriting } from './schema.js';
import type { FromWriterThread, ToWriterThread, WriterThreadOptions } from './writer-protocol.js';

// The thread that writes: a disk sync blocks it, and nothing else.

if (!parentPort) throw new Error('The writer runs in a thread of its own');
const port = parentPort;
const tell = (message: FromWriterThread) => {
  port.postMessage(message);
};
const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

function serve({ file, busyMs }: WriterThreadOptions): void {
  const db = openForWriting(file, busyMs);
  const groups = new GroupCommit(db, busyMs);
  const opened = fileIdentityOf(file);
  port.on('message', (message: ToWriterThread) => {
    switch (message.kind) {
      case 'group':
        try {
          // Whoever opens the path next would not find what is written to the file that was there.
          if (fileIdentityOf(file) !== opened) throw new Error(REPLACED);
          tell({ kind: 'committed', outcomes: groups.commit(message.appends) });
        } catch (error) {
          tell({ kind: 'failed', reason: reasonOf(error) });
        }
        return;
      case 'close':
        try {
          db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
        } catch {
          // What isn't checkpointed stays in the write-ahead log.
        }
        db.close();
        port.close();
    }
  });
  tell({ kind: 'opened' });
}

try {
  serve(workerData as WriterThreadOptions);
} catch (error) {
  tell({ kind: error instanceof NotAnEventLog ? 'refused' : 'failed', reason: reasonOf(error) });
}
