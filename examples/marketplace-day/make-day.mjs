// Writes day.json, the day that `npm run demo` plays. Each run writes the same bytes.
import { writeFileSync } from 'node:fs';
import { format } from 'prettier';

const CLIENTS = 200;

// prettier-ignore
const workspaces = [
  {
    workspaceId: 'alder-logistics',
    services: ['Weather forecasts', 'Road traffic', 'Port calls', 'Customs tariffs'],
    applications: [
      'Route planner', 'Driver app', 'Fleet telemetry', 'Dispatch desk', 'Cold chain monitor', 'Dock scheduler',
      'Customs declarations', 'Fuel cost report', 'Delivery notices', 'Warehouse scanner', 'Container tracking',
      'Toll calculator', 'Claims intake', 'Carrier scorecard', 'Yard display', 'Load optimizer', 'Night batch',
      'Partner gateway', 'Invoice matching', 'Returns portal', 'Drone pilot', 'Emission ledger', 'Sandbox',
    ],
  },
  {
    workspaceId: 'brightwater-energy',
    services: ['Irradiance forecasts', 'Spot prices', 'Grid load', 'Meter readings'],
    applications: [
      'Load forecast', 'Trading desk', 'Turbine monitor', 'Meter import', 'Outage map', 'Customer app',
      'Balancing robot', 'Settlement run', 'Storage control', 'Solar nowcast', 'Maintenance planner', 'Price alerts',
      'Regulator report', 'Charging network', 'Tariff advisor', 'Field crew app', 'Heat pump pilot', 'Data lake feed',
      'Substation display', 'Contract archive', 'Risk limits', 'Training simulator', 'Sandbox',
    ],
  },
  {
    workspaceId: 'cobalt-retail',
    services: ['Address check', 'Parcel rates', 'Exchange rates', 'Product catalogue'],
    applications: [
      'Web shop', 'Store checkout', 'Loyalty app', 'Price labels', 'Stock counter', 'Gift cards', 'Supplier portal',
      'Returns desk', 'Fraud screen', 'Click and collect', 'Newsletter', 'Search index', 'Basket service',
      'Marketplace feed', 'Store finder', 'Call centre', 'Demand forecast', 'Tax report', 'Warehouse robot',
      'Kiosk', 'Photo studio', 'Season planner', 'Sandbox',
    ],
  },
];

const ENVIRONMENTS = ['production', 'staging', 'development'];
const OVERLAPS = [0, 900, 3600, 604_800];
const REASONS = ['The application was retired', 'The key was found in a repository', 'Replaced by another client'];

const subscriptionsOf = ({ workspaceId, services }) =>
  services.map((serviceName, index) => {
    const slug = `${workspaceId.split('-')[0]}-${serviceName.toLowerCase().replaceAll(' ', '-')}`;
    const end = index === 3 && { end: { reason: 'The contract is over' } };
    return { subscriptionId: `sub-${slug}`, endpointUri: slug, serviceName, ...end };
  });

/**
 * Returns one client. `n` is the number of clients before this one, over all workspaces. Every third client rotates its
 * secret, every eighth client is revoked.
 */
const client = (n, name, subscriptions) => {
  const first = n % subscriptions.length;
  const count = 1 + ((n * 7) % 3);
  return {
    name,
    authenticationType: n % 5 < 2 ? 'API_KEY' : 'OAUTH2',
    subscriptions: Array.from(
      { length: count },
      (_, offset) => subscriptions[(first + offset) % subscriptions.length].subscriptionId,
    ),
    ...(n % 3 === 1 && { rotate: { overlapSeconds: OVERLAPS[Math.floor(n / 3) % OVERLAPS.length] } }),
    ...(n % 8 === 5 && { revoke: { reason: REASONS[Math.floor(n / 8) % REASONS.length] } }),
  };
};

let n = 0;
const day = {
  description: 'A marketplace’s day: what three consuming organisations do with 12 subscriptions and 200 clients.',
  steps: [
    { time: '07:30', step: 'register' },
    { time: '08:00', step: 'create' },
    { time: '08:30', step: 'assign' },
    { time: '09:00', step: 'logIn' },
    { time: '11:00', step: 'rotate' },
    { time: '14:00', step: 'revoke' },
    { time: '16:00', step: 'endSubscriptions' },
    { time: '18:00', step: 'compareTables' },
  ],
  workspaces: workspaces.map((workspace) => {
    const subscriptions = subscriptionsOf(workspace);
    const clients = [];
    for (const application of workspace.applications) {
      for (const environment of ENVIRONMENTS) {
        const isFull = clients.length === Math.ceil(CLIENTS / workspaces.length) || n === CLIENTS;
        if (!isFull) clients.push(client(n++, `${application}, ${environment}`, subscriptions));
      }
    }
    return { workspaceId: workspace.workspaceId, subscriptions, clients };
  }),
};

const options = { parser: 'json', printWidth: 120 };
writeFileSync(new URL('day.json', import.meta.url), await format(JSON.stringify(day), options));
