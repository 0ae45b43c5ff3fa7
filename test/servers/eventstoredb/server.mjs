// A stand-in for EventStoreDB: `node server.mjs --file <path> [--port <number>]`. The program prints its port
// when it is ready. If the program was started with an IPC channel, it ends when its parent process ends.
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Access, usersApi } from './access.mjs';
import { Ballot } from './ballot.mjs';
import { gossipService, serverFeaturesService } from './discovery.mjs';
import { GrpcServer } from './grpc.mjs';
import { Log } from './log.mjs';
import { Node } from './node.mjs';
import { NodesService, Peer } from './peer.mjs';
import { GossipService, ServerFeaturesService, StreamsService } from './protocol.mjs';
import { Store } from './store.mjs';
import { streamsService } from './streams-service.mjs';
import { behaviourOf } from './versions.mjs';

const HOST = '127.0.0.1';

const { values: options } = parseArgs({
  options: {
    file: { type: 'string' },
    port: { type: 'string', default: '0' },
    /** The ports of the cluster's other nodes. Without this option, the server is not in a cluster. */
    peer: { type: 'string', multiple: true, default: [] },
    /** How long the process still serves clients after SIGTERM, in ms. */
    'linger-ms': { type: 'string', default: '5000' },
    /** Number of records that may wait for a subscriber that has reached the log's end and then stops reading. */
    'live-buffer': { type: 'string', default: '1024' },
    /** How long a follower hides committed records from its readers, in ms. */
    'lag-ms': { type: 'string', default: '5' },
    'heartbeat-ms': { type: 'string', default: '40' },
    /**
     * How long a node waits without hearing from a leader before it calls an election, in ms. Each node waits a random
     * time between 1 and 1.5 times this value.
     */
    'election-ms': { type: 'string', default: '600' },
    /**
     * How long a replaced leader still answers reads from its old state after it has heard of the new leader, in ms.
     */
    'stale-ms': { type: 'string', default: '500' },
    /** The version of EventStoreDB or KurrentDB that the program behaves like. */
    version: { type: 'string', default: '23.10.8' },
    'max-append-bytes': { type: 'string' },
    /** The largest size of an event: the option MaxAppendEventSize of 24.10 and later. */
    'max-event-bytes': { type: 'string' },
    /** Accounts: name, password and perhaps a group, separated by colons. Without any, everybody may do everything. */
    account: { type: 'string', multiple: true, default: [] },
  },
});

const behaviour = behaviourOf(options.version);
const store = new Store();
const log = await Log.open(options.file, (opened) => opened.on('record', (record) => store.add(record)));
const peers = options.peer.map((port) => new Peer({ host: HOST, port: Number(port) }));
const node = new Node(log, store, new Ballot(`${options.file}.epoch`), peers, {
  liveBuffer: Number(options['live-buffer']),
  lagMs: Number(options['lag-ms']),
  heartbeatMs: Number(options['heartbeat-ms']),
  electionMs: Number(options['election-ms']),
  staleMs: Number(options['stale-ms']),
  ...behaviour,
  maxAppendBytes: Number(options['max-append-bytes'] ?? behaviour.maxAppendBytes),
  maxEventBytes: Number(options['max-event-bytes'] ?? behaviour.maxEventBytes),
});

const server = new GrpcServer(behaviour);
const access = new Access(store, options.account);
server.add(StreamsService, streamsService(node, access));
server.addHttp('/users', usersApi(access));
server.add(GossipService, gossipService(node));
server.add(ServerFeaturesService, serverFeaturesService(behaviour));
server.add(NodesService, node.handlers());
const port = await server.listen(Number(options.port));
node.start({ host: HOST, port });
if (peers.length === 0) await store.commits.next;

process.on('message', ({ id, isIsolated, refusal }) => {
  if (isIsolated !== undefined) node.isolate(isIsolated);
  if (refusal === null) server.serveAgain();
  else if (refusal) server.refuse(StreamsService, refusal);
  process.send({ heeded: id, streamReads: node.streamReads });
});
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
