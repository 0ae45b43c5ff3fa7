import { performance } from 'node:perf_hooks';

/**
 * Reads the first pages of a list, 50 items each, at most `pages`. `list` is the path of the list, with its parameters.
 * Returns the milliseconds that each page took.
 */
export async function walkList({ server, connection }, list, pages) {
  const times = [];
  let cursor = '';
  for (let page = 0; page < pages && cursor !== undefined; page++) {
    const path = `${list}${list.includes('?') ? '&' : '?'}limit=50${cursor && `&cursor=${cursor}`}`;
    const request = server.request('GET', path);
    const startedAt = performance.now();
    const body = await connection.send(request);
    times.push(performance.now() - startedAt);
    cursor = JSON.parse(body.toString()).nextCursor;
  }
  return times;
}
