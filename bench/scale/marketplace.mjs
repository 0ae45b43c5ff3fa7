/** All clients of a group are created, then assigned, and so on. So the events of one client are far apart in the log. */
const GROUP = 400;
const CLIENTS_PER_SUBSCRIPTION = 5_000;

/** Returns the number of subscriptions for this number of clients. */
const subscriptionsOf = (clients) => Math.max(2, Math.ceil(clients / CLIENTS_PER_SUBSCRIPTION));

export const subscriptionNamed = (number) => `weather-${number}`;

/**
 * Creates `count` clients with 2.6 events each. A tenth of the clients are revoked. The others are assigned evenly to
 * subscriptions, as many times as there are clients, so that a subscription of a large marketplace has 5,000 clients.
 * Returns the number of events, and the number of clients of each subscription.
 */
export async function seedMarketplace(seeder, count) {
  const subscriptions = subscriptionsOf(count);
  for (let number = 0; number < subscriptions; number++) {
    await seeder.registerSubscription(subscriptionNamed(number));
  }
  const assigned = Array.from({ length: subscriptions }, () => 0);
  const assign = ({ id }, subscription) => {
    assigned[subscription] += 1;
    return seeder.assign(id, subscriptionNamed(subscription));
  };
  let next = 0;
  for (let first = 0; first < count; first += GROUP) {
    const clients = [];
    for (let number = first; number < Math.min(first + GROUP, count); number++) {
      clients.push({ number, id: await seeder.createClient(`Importer ${number}`, number % 2 ? 'OAUTH2' : 'API_KEY') });
    }
    const active = clients.filter(({ number }) => number % 10 !== 0);
    for (const client of active) {
      client.subscription = next++ % subscriptions;
      await assign(client, client.subscription);
    }
    for (const { id, number } of active.filter(({ number }) => number % 10 < 4)) {
      await seeder.change(id, 'ConsumerClientRenamed', { name: `Importer ${number} (Berlin)` });
    }
    for (const { id } of active.filter(({ number }) => number % 10 > 7)) await seeder.rotate(id, 2);
    for (const { id } of clients.filter(({ number }) => number % 10 === 0)) await seeder.revoke(id, []);
    for (const client of active.slice(0, clients.length - active.length)) {
      await assign(client, (client.subscription + 1) % subscriptions);
    }
    seeder.endStreams();
  }
  return { events: seeder.count, assigned };
}
