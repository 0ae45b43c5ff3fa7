import { features, gossip, shared, StreamsService } from './protocol.mjs';

const { EndPoint, MemberInfo } = gossip;

/** The gRPC service ServerFeatures, which tells clients the server's version and methods. */
export const serverFeaturesService = ({ version }) => ({
  getSupportedMethods: async (call) => {
    await call.request();
    const answer = new features.SupportedMethods();
    answer.setEventStoreServerVersion(version);
    for (const { path } of Object.values(StreamsService)) {
      const [, service, method] = path.toLowerCase().split('/');
      const supported = new features.SupportedMethod();
      supported.setServiceName(service);
      supported.setMethodName(method);
      answer.addMethods(supported);
    }
    return call.send(answer);
  },
});

const memberInfo = ({ id, host, port, state, isAlive }) => {
  const info = new MemberInfo();
  const instance = new shared.UUID();
  instance.setString(id);
  const endpoint = new EndPoint();
  endpoint.setAddress(host);
  endpoint.setPort(port);
  info.setInstanceId(instance);
  info.setHttpEndPoint(endpoint);
  info.setTimeStamp(`${BigInt(Date.now()) * 10_000n}`);
  info.setState(MemberInfo.VNodeState[state]);
  info.setIsAlive(isAlive);
  return info;
};

/** The gRPC service Gossip, which tells clients what this node knows about the nodes of the cluster. */
export const gossipService = (node) => ({
  read: async (call) => {
    await call.request();
    const answer = new gossip.ClusterInfo();
    answer.setMembersList(node.members().map(memberInfo));
    return call.send(answer);
  },
});
