// A proxy that stands for a distance between the service and EventStoreDB: it delivers everything later, half of the
// distance in each direction. First receives the server's `{ host, port }`. Then receives the distance, in ms of a round
// trip, as often as it changes.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout } from 'node:timers';

const [{ host, port }] = await once(process, 'message');
let oneWayMs = 0;

/** Bytes that are sent later arrive later, because timers with the same delay run in the order of their start. */
const deliver = (from, to) => {
  from.setNoDelay(true);
  from.on('data', (bytes) => {
    if (oneWayMs === 0) to.write(bytes);
    else setTimeout(() => to.write(bytes), oneWayMs);
  });
  from.on('error', () => undefined).on('close', () => to.destroy());
};

const server = createServer((client) => {
  const upstream = connect(port, host);
  deliver(client, upstream);
  deliver(upstream, client);
}).listen(0, '127.0.0.1');
await once(server, 'listening');

process.on('message', ({ roundTripMs }) => {
  oneWayMs = roundTripMs / 2;
  process.send('changed');
});
process.once('disconnect', () => process.exit());
process.send({ port: server.address().port });
