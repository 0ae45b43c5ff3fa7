const { once } = require('node:events');
const { createServer } = require('node:net');

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

const freePort = async () => (await freePorts(1))[0];

module.exports = { freePort, freePorts };
