import { once } from 'node:events';
import { createServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { openEventStoreDbLog } from './index.js';

test('the server may send a megabyte ahead, on a call and on the connection', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sessions: ServerHttp2Session[] = [];
  const session = new Promise<ServerHttp2Session>((resolve) => {
    server.on('session', (opened) => {
      sessions.push(opened);
      // Where a connection's window is larger than a call's, the client says so after its settings.
      opened.once('stream', (stream) => {
        stream.on('error', () => undefined).close();
        resolve(opened);
      });
    });
  });
  const log = openEventStoreDbLog({ url: `esdb://127.0.0.1:${(server.address() as AddressInfo).port}?tls=false` });
  try {
    log.readAll({}).catch(() => undefined);
    const { remoteSettings, state } = await session;
    expect(remoteSettings.initialWindowSize).toBeGreaterThanOrEqual(1024 * 1024);
    expect(state.remoteWindowSize).toBeGreaterThanOrEqual(1024 * 1024);
  } finally {
    await log.close();
    for (const opened of sessions) opened.destroy();
    server.close();
  }
});
