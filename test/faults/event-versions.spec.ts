import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GatewayDouble } from '../support/api/gateway.js';
import { eventually, send } from '../support/api/http.js';
import { Issuer } from '../support/api/issuer.js';
import { oauthLogin } from '../support/api/login.js';
import { type NewClient, Portal, readAfter } from '../support/api/portal.js';
import { withEventLog } from '../support/events/audit.js';
import { processSecrets } from '../support/processes/process-secrets.js';
import type { Environment } from '../support/processes/program.js';
import { Release } from '../support/processes/release.js';
import { Service, type ServiceName } from '../support/processes/service.js';
import { Standalone } from '../support/processes/standalone.js';
import { sqlitePair, type StorePair } from '../support/processes/store-pair.js';

/** The next release: version 2 of `ConsumerClientRenamed` also holds the name that the client had before. */
const nextRelease = () =>
  Release.make([
    {
      file: 'libs/domain/consumer-client.js',
      from: 'data: { name } }',
      to: 'data: { name, before: state.name } }',
    },
    {
      file: 'libs/events/schemas/consumer-client.js',
      from: 'ConsumerClientRenamed: [{ schema: ConsumerClientRenamedV1 }],',
      to: `ConsumerClientRenamed: [
        { schema: ConsumerClientRenamedV1, upcast: (data) => data },
        { schema: withNameBefore(ConsumerClientRenamedV1), downcast: ({ before, ...data }) => data },
      ],`,
    },
    {
      file: 'libs/events/schemas/consumer-client.js',
      from: 'exports.consumerClientVersions = {',
      to: `function withNameBefore(ofVersion1) {
        class ConsumerClientRenamedV2 extends ofVersion1 {}
        (0, class_validator_1.IsString)()(ConsumerClientRenamedV2.prototype, 'before');
        return ConsumerClientRenamedV2;
      }
      exports.consumerClientVersions = {`,
    },
  ]);

describe('an upgrade to a release that writes a new version of an event', () => {
  let pair: StorePair;
  let issuer: Issuer;
  let env: Environment;
  let release: Release;
  let running: Service[];

  beforeEach(async () => {
    pair = await sqlitePair();
    await pair.arrive();
    issuer = await Issuer.start();
    env = { ...pair.env, ...issuer.env, ...processSecrets() };
    release = nextRelease();
    running = [];
  });
  afterEach(async () => {
    await Promise.all(running.map((service) => service.stop()));
    await issuer.close();
    await pair.remove();
    release.remove();
  });

  const start = async (name: ServiceName, ofRelease?: string, more: Environment = {}) => {
    const service = await Service.start(name, { ...env, ...more }, ofRelease);
    running.push(service);
    await service.ready();
    return service;
  };
  const portalOf = async ({ url }: Service) => new Portal(url, await issuer.token('acme'));
  /** The versions and data of the client's renamings, as the portal shows them. */
  const renamings = async (portal: Portal, { clientId }: NewClient, token: ReturnType<typeof readAfter>) =>
    (await portal.wholeHistory(clientId, token))
      .filter(({ type }) => type === 'ConsumerClientRenamed')
      .map(({ schemaVersion, data }) => [schemaVersion, data]);

  it('lets the old processes read everything, as long as the new ones write what the old ones know', async () => {
    const [oldManagement, oldAuth, projector] = await Promise.all([
      start('management'),
      start('auth'),
      start('projector'),
    ]);
    const newManagement = await start('management', release.folder, { EVENT_VERSIONS: 'previous' });
    const [oldPortal, newPortal] = [await portalOf(oldManagement), await portalOf(newManagement)];
    const client = await oldPortal.newClient('OAUTH2');

    const renamed = await newPortal.rename(client.clientId, 'By the new release');
    expect(renamed.status).toBe(200);
    expect((await oldPortal.get(client.clientId, readAfter(renamed))).body.name).toBe('By the new release');
    expect((await oauthLogin(oldAuth.url, client)).status).toBe(200);
    const again = await oldPortal.rename(client.clientId, 'By the old release');
    expect(again.status).toBe(200);
    expect((await newPortal.rename(client.clientId, 'By the new release, again')).status).toBe(200);
    const now = await oldPortal.rename(client.clientId, 'Last by the old release');
    expect(await renamings(oldPortal, client, readAfter(now))).toEqual([
      [1, { name: 'By the new release' }],
      [1, { name: 'By the old release' }],
      [1, { name: 'By the new release, again' }],
      [1, { name: 'Last by the old release' }],
    ]);

    await Promise.all([oldManagement, newManagement, projector].map((service) => service.stop()));
    const [management] = await Promise.all([start('management', release.folder), start('projector', release.folder)]);
    const portal = await portalOf(management);
    const last = await portal.rename(client.clientId, 'Upgraded');
    expect((await renamings(portal, client, readAfter(last))).at(-1)).toEqual([
      ...[2, { name: 'Upgraded', before: 'Last by the old release' }],
    ]);
    // This is what the rule prevents: a process of the old release that still runs can't read the client any more.
    expect((await oauthLogin(oldAuth.url, client)).status).toBeGreaterThanOrEqual(500);
  });
});

it('an unknown version of a usage event stops the recording of uses, and nothing else', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'event-versions-'));
  const standalone = await Standalone.startReady({ dataDir });
  try {
    const portal = Portal.of(standalone);
    const gateway = new GatewayDouble(standalone);
    await portal.register('sub_weather', { endpointUri: 'weather' });
    const client = await portal.newClient('OAUTH2');
    await portal.assign(client.clientId, 'sub_weather');
    await withEventLog(dataDir, async (log) => {
      const stream = 'usage-2026-03-01-0123456789abcdef';
      const event = { eventId: randomUUID(), type: 'UsageRecorded', data: { process: 'p', counts: [] } };
      const [known] = await log.readAll({ limit: 1 });
      if (!known) throw new Error('The log is empty');
      const metadata = { ...known.metadata, commandId: randomUUID(), schemaVersion: 99 };
      await log.append(stream, 'none', [{ ...event, metadata }]);
    });
    await eventually(
      () => send('GET', standalone.url, '/health/ready'),
      ({ text }) => text.includes('"projection usage":"down"'),
    );
    const login = await oauthLogin(standalone.url, client, 'weather');
    expect(login.status).toBe(200);
    expect(await gateway.ask({ token: login.body.access_token })).toBe('200 GOOD');
    const renamed = readAfter(await portal.rename(client.clientId, 'Renamed'));
    expect((await portal.get(client.clientId, renamed)).body.name).toBe('Renamed');
    expect((await portal.wholeHistory(client.clientId, renamed)).at(-1)?.type).toBe('ConsumerClientRenamed');
    await portal.end('sub_weather');
    await eventually(
      () => portal.get(client.clientId),
      ({ body }) => body.subscriptions.length === 0,
    );
    const { text } = await send('GET', standalone.url, '/health/ready');
    expect(text.match(/"projection \w+":"down"/g)).toEqual(['"projection usage":"down"']);
  } finally {
    await standalone.stop();
    rmSync(dataDir, { recursive: true });
  }
});
