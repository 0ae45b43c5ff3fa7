import { Connection } from '../load.mjs';
import { walkList } from '../pages.mjs';
import { ratioBelow, row } from '../report.mjs';
import { alternate, percentile } from '../rounds.mjs';

const section = 'Pages of 50, p99 of each list';
const PAGES_DEEP = 5;

/** Every list of the management API, in each of its sorts and filters. */
const listsOf = ({ clientId }) => [
  '/v1/clients?sort=createdAt',
  '/v1/clients?sort=createdAt&order=desc',
  '/v1/clients?sort=name',
  '/v1/clients?name=importer%201',
  '/v1/clients?nameContains=porter',
  '/v1/clients?nameContains=r',
  '/v1/clients?nameContains=777',
  '/v1/clients?authenticationType=API_KEY&sort=name&order=desc',
  '/v1/clients?authenticationType=OAUTH2&sort=createdAt',
  '/v1/clients?status=revoked&sort=revokedAt&order=desc',
  '/v1/clients?status=revoked&name=importer%201',
  '/v1/subscriptions/weather-0/clients',
  '/v1/subscriptions?sort=registeredAt',
  '/v1/subscriptions?serviceName=weather',
  `/v1/clients/${clientId}/history`,
];

export async function lists({ bench, large, small }) {
  bench.say('pages');
  const rounds = bench.isQuick ? 1 : 60;
  const open = async ({ server }) => ({ server, connection: await Connection.open(server.url) });
  const [onLarge, onSmall] = [await open(large), await open(small)];
  const rows = [];
  for (const [at, list] of listsOf(large).entries()) {
    const sides = {
      large: () => walkList(onLarge, list, PAGES_DEEP),
      small: () => walkList(onSmall, listsOf(small)[at], PAGES_DEEP),
    };
    await alternate(2, sides);
    const times = await alternate(rounds, sides);
    rows.push(
      row({
        ...{ section, name: list.replace(/cc_[^/]*/, '…'), unit: 'ms', value: percentile(times.large.flat(), 0.99) },
        ...{ against: `${small.size.toLocaleString('en')} clients`, reference: percentile(times.small.flat(), 0.99) },
        target: ratioBelow(1.3),
      }),
    );
  }
  for (const { connection } of [onLarge, onSmall]) connection.close();
  return rows;
}
