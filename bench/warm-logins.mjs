import { clientCredentialsLogin } from './auth/requests.mjs';
import { pacedLoad, sendOnce } from './load.mjs';

const CLIENTS = 16;

/** Returns login requests of new clients, whose secrets the server has verified once before. */
export async function warmLogins(server) {
  const requests = [];
  for (let number = 0; number < CLIENTS; number++) {
    const body = { name: `Caller ${number}`, authenticationType: 'OAUTH2' };
    const request = clientCredentialsLogin((await server.json('POST', '/v1/clients', body)).credential);
    await sendOnce(server.url, request);
    requests.push(request);
  }
  return requests;
}

/** Sends 200 of the requests a second, and returns how long each took, in ms. */
export async function pacedLogins({ url }, requests, seconds) {
  let sent = 0;
  const next = () => requests[sent++ % requests.length];
  return (await pacedLoad({ url, connections: CLIENTS, perSecond: 200, seconds, next })).durations;
}
