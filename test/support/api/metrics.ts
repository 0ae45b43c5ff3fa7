import { send } from './http.js';

/**
 * Returns a value from `/metrics` of the server, or `undefined` if there is no such value. `name` includes the labels,
 * written as in `/metrics`.
 */
export async function metricOf(url: string, name: string): Promise<number | undefined> {
  const { text } = await send('GET', url, '/metrics');
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}
