const { once } = require('node:events');
const { readFileSync } = require('node:fs');
const { createServer } = require('node:net');

const LOWEST = 10_000;
/** The beginning of the range from which the system takes the ports of outgoing connections. */
const EPHEMERAL_FROM = 32_768;
const LOCAL_PORT_RANGE = '/proc/sys/net/ipv4/ip_local_port_range';

/** Returns the lowest port that the system may give to an outgoing connection, as far as it tells. */
function ephemeralFrom() {
  try {
    return Number(readFileSync(LOCAL_PORT_RANGE, 'utf8').split(/\s+/)[0]);
  } catch {
    return EPHEMERAL_FROM;
  }
}

/** Listens on a random port that no outgoing connection can get while a test's server is down. */
async function listenAnywhere() {
  const end = Math.max(ephemeralFrom(), LOWEST + 1_000);
  for (;;) {
    const server = createServer().listen(LOWEST + Math.floor(Math.random() * (end - LOWEST)), '127.0.0.1');
    try {
      await once(server, 'listening');
      return server;
    } catch (error) {
      if (error.code !== 'EADDRINUSE') throw error;
    }
  }
}

async function freePorts(count) {
  const servers = [];
  while (servers.length < count) servers.push(await listenAnywhere());
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

const freePort = async () => (await freePorts(1))[0];

module.exports = { freePort, freePorts };
