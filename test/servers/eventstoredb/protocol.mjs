import { createRequire } from 'node:module';

// Loads modules from where the EventStoreDB client loads them. So we use the client's own copies, even if other
// versions are installed.
const requireAsClient = createRequire(createRequire(import.meta.url).resolve('@eventstore/db-client'));
const generated = (name) => requireAsClient(`@eventstore/db-client/generated/${name}_pb`);

export const { Any } = requireAsClient('google-protobuf/google/protobuf/any_pb');
export const { Empty: NoValue } = requireAsClient('google-protobuf/google/protobuf/empty_pb');
export const streams = generated('streams');
export const shared = generated('shared');
export const gossip = generated('gossip');
export const features = generated('serverfeatures');
export const { Status: RpcStatus } = generated('status');

export const { StreamsService } = generated('streams_grpc');
export const { GossipService } = generated('gossip_grpc');
export const { ServerFeaturesService } = generated('serverfeatures_grpc');
