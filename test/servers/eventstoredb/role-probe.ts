import { Empty } from '@eventstore/db-client/generated/shared_pb';
import { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb';
import { ReadReq } from '@eventstore/db-client/generated/streams_pb';
import { credentials, Metadata, status, type StatusObject } from '@grpc/grpc-js';
import type { NodeState } from './node-program.js';

const TIMEOUT_MS = 1_000;

/** Reads the last event of the log, and requires that the node which answers is the leader. */
const lastEvent = (() => {
  const all = new ReadReq.Options.AllOptions();
  all.setEnd(new Empty());
  const uuids = new ReadReq.Options.UUIDOption();
  uuids.setString(new Empty());
  const options = new ReadReq.Options();
  options.setAll(all);
  options.setReadDirection(ReadReq.Options.ReadDirection.BACKWARDS);
  options.setCount('1');
  options.setNoFilter(new Empty());
  options.setUuidOption(uuids);
  const request = new ReadReq();
  request.setOptions(options);
  return request;
})();
const leaderOnly = new Metadata();
leaderOnly.set('requires-leader', 'true');

/** Finds out a node's role by a call that only a leader answers. Works with every version of the server. */
export class RoleProbe {
  private readonly client: StreamsClient;
  private call: { cancel(): void } | undefined;

  /** `port`: the node's port on 127.0.0.1. */
  constructor(port: number) {
    this.client = new StreamsClient(`127.0.0.1:${port}`, credentials.createInsecure(), {
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 100,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** Resolves with the node's role, or with `undefined` if the node can't be reached or doesn't answer for a second. */
  async ask(): Promise<NodeState['role'] | undefined> {
    const { code, details, metadata } = await new Promise<StatusObject>((resolve) => {
      const call = this.client.read(lastEvent, leaderOnly, { deadline: Date.now() + TIMEOUT_MS });
      this.call = call;
      call.on('error', () => undefined).on('data', () => undefined);
      call.on('status', resolve);
    });
    if (code === status.OK) return 'leader';
    if (metadata.get('exception').includes('not-leader')) return 'follower';
    return code === status.UNAVAILABLE && details.includes('Not Ready') ? 'candidate' : undefined;
  }

  /** Closes the connection. A call that is under way ends at once. */
  close(): void {
    this.call?.cancel();
    this.client.close();
  }
}
