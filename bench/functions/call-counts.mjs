// This module is loaded into the service before the service's own code (`node --import`). The module counts the calls
// of each function of the service. Each connection to the socket at `CALL_COUNTS_SOCKET` receives the counts since the
// previous connection, as JSON.
import { Session } from 'node:inspector';
import { createServer } from 'node:net';
import { isMainThread } from 'node:worker_threads';

const BUILD = new URL('../../dist/', import.meta.url).href;

/**
 * Returns the functions of `dist/` that were called since the previous call of `takeCounts`, with their call counts.
 */
function takeCounts(session) {
  let scripts = [];
  session.post('Profiler.takePreciseCoverage', (error, coverage) => {
    if (error) throw new Error(error.message);
    scripts = coverage.result;
  });
  return scripts
    .filter(({ url }) => url.startsWith(BUILD))
    .flatMap(({ url, functions }) =>
      functions.map(({ functionName, ranges: [{ startOffset, count }] }) => ({
        ...{ file: url.slice(BUILD.length), name: functionName, startOffset, count },
      })),
    )
    .filter(({ count }) => count > 0);
}

if (isMainThread) {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  createServer((socket) => socket.end(JSON.stringify(takeCounts(session))))
    .listen(process.env.CALL_COUNTS_SOCKET)
    .unref();
}
