// A stand-in for EventStoreDB 23.10: `node server.mjs --file <path> [--port <number>]`. It prints its port when it
// serves, and ends with the process that started it (where that gave it an IPC channel).
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Ballot } from './ballot.mjs';
import { gossipService, serverFeaturesService } from './discovery.mjs';
import { GrpcServer } from './grpc.mjs';
import { Log } from './log.mjs';
import { Node } from './node.mjs';
import { NodesService, Peer } from './peer.mjs';
import { GossipService, ServerFeaturesService, StreamsService } from './protocol.mjs';
import { Store } from './store.mjs';
import { streamsService } from './streams-service.mjs';

const HOST = '127.0.0.1';

const { values: options } = parseArgs({
  options: {
    file: { type: 'string' },
    port: { type: 'string', default: '0' },
    /** Ports of the cluster's other nodes; none: a node on its own. */
    peer: { type: 'string', multiple: true, default: [] },
    /** How long the process goes on serving after SIGTERM. */
    'linger-ms': { type: 'string', default: '5000' },
    /** How many records a live subscriber may lag behind while it doesn't read. */
    'live-buffer': { type: 'string', default: '1024' },
    /** How long a follower keeps what is committed from its readers. */
    'lag-ms': { type: 'string', default: '5' },
    'heartbeat-ms': { type: 'string', default: '40' },
    /** How long no leader is heard before another is elected; half as much again for some. */
    'election-ms': { type: 'string', default: '600' },
    /** How long a leader that was replaced goes on answering from what it has after it could know. */
    'stale-ms': { type: 'string', default: '500' },
  },
});

const store = new Store();
const log = await Log.open(options.file, (opened) => opened.on('record', (record) => store.add(record)));
const peers = options.peer.map((port) => new Peer({ host: HOST, port: Number(port) }));
const node = new Node(log, store, new Ballot(`${options.file}.epoch`), peers, {
  liveBuffer: Number(options['live-buffer']),
  lagMs: Number(options['lag-ms']),
  heartbeatMs: Number(options['heartbeat-ms']),
  electionMs: Number(options['election-ms']),
  staleMs: Number(options['stale-ms']),
});

const server = new GrpcServer();
server.add(StreamsService, streamsService(node));
server.add(GossipService, gossipService(node));
server.add(ServerFeaturesService, serverFeaturesService());
server.add(NodesService, node.handlers());
const port = await server.listen(Number(options.port));
node.start({ host: HOST, port });
if (peers.length === 0) await store.commits.next;

process.on('message', ({ isIsolated }) => node.isolate(isIsolated));
process.once('SIGTERM', async () => {
  server.refuseConnections();
  await delay(Number(options['linger-ms']));
  server.abandonCalls();
  await delay(100);
  process.exit(0);
});
process.once('disconnect', () => process.exit(0));
process.send?.({ port });
console.log(port);
