import fc from 'fast-check';
import {
  eventIdOf,
  hashOf,
  InvalidEvent,
  type LogEvent,
  NotDuringUpgrade,
  type RecordedEvent,
  redact,
  seal,
  UnknownEvent,
  upcast,
  type UsageEntry,
  validate,
} from '#events';

const at = '2026-05-04T03:02:01.000Z';
const verifier = '$argon2id$v=19$m=19456,t=2,p=1,keyid=FAKEFAKEFAK$FAKE$FAKE';

type EventOf<Type extends LogEvent['type']> = Extract<LogEvent, { type: Type }>;

const created: EventOf<'ConsumerClientCreated'> = {
  type: 'ConsumerClientCreated',
  data: {
    clientId: 'cc_RegistrySample001',
    workspaceId: 'acme',
    name: 'Orders',
    authenticationType: 'OAUTH2',
    verifier,
    createdAt: at,
  },
};
const rotated: EventOf<'ConsumerClientSecretRotated'> = {
  type: 'ConsumerClientSecretRotated',
  data: { generation: 2, verifier, rotatedAt: at, previousExpiresAt: at },
};
const described: EventOf<'ConsumerClientDescribed'> = {
  type: 'ConsumerClientDescribed',
  data: { description: 'Imports orders', labels: { team: 'planning' }, externalId: 'crm:4711' },
};
const claimed: EventOf<'ExternalIdClaimed'> = {
  type: 'ExternalIdClaimed',
  data: { externalId: 'crm:4711', workspaceId: 'acme', clientId: 'cc_RegistrySample001', claimedAt: at },
};
const revoked: EventOf<'ConsumerClientRevoked'> = {
  type: 'ConsumerClientRevoked',
  data: { reason: 'The importer was retired', subscriptions: ['sub_1', 'sub_2'], revokedAt: at },
};
const issued: EventOf<'ConsumerClientStaticTokenIssued'> = {
  type: 'ConsumerClientStaticTokenIssued',
  data: {
    generation: 1,
    jti: 'jti-1',
    kid: 'kid-1',
    issuedAt: at,
    expiresAt: at,
    header: {},
    claims: {},
    replacedTokens: 'KEPT',
  },
};

const entry: UsageEntry = {
  ...{ client: 'cc_RegistrySample001', generation: 1, subscription: null, outcome: 'OK' },
  ...{ count: 2, first: at, last: at },
};
const usage: EventOf<'UsageRecorded'> = {
  type: 'UsageRecorded',
  data: { process: 'process-1', entries: [entry], unknownClients: 0 },
};
const usageWith = (change: object) => ({ entries: [entry, { ...entry, ...change }] });

/** Returns the event with some fields changed to values that the types forbid. */
const spoilt = (event: LogEvent, change: object) => ({ ...event, data: { ...event.data, ...change } }) as LogEvent;

const refusal = (event: LogEvent): InvalidEvent => {
  try {
    validate(event);
  } catch (error) {
    if (error instanceof InvalidEvent) return error;
    throw error;
  }
  throw new Error(`${event.type} was taken`);
};

const stream = 'consumerClient-cc_RegistrySample001';
const context = {
  commandId: '0fd9f1a2-6b8e-4d7c-9a51-3c2b1a0f9e8d',
  commandHash: '',
  actor: { subject: 'portal', roles: [], via: 'http' },
  correlationId: 'request-1',
  causationId: 'request-1',
};

const recorded = (event: LogEvent): RecordedEvent => {
  const [sealed] = seal(stream, undefined, [event], context, at);
  if (!sealed) throw new Error('Nothing was sealed');
  return { ...sealed, stream, revision: 0n, position: '0042' };
};

describe('An event that is about to be written', () => {
  it('is accepted when it fits its schema, and gets its version', () => {
    expect(validate(created)).toBe(2);
    expect(validate(spoilt(created, { draftId: 'draft-1' }))).toBe(2);
    expect(validate(rotated)).toBe(3);
    expect(validate(revoked)).toBe(1);
    expect(validate(issued)).toBe(2);
    expect(validate(usage)).toBe(2);
    expect(validate(spoilt(usage, { entries: [], unknownClients: 3 }))).toBe(2);
    const { client, outcome, count, last } = entry;
    expect(validate(spoilt(usage, { entries: [{ client, outcome, count, last }] }))).toBe(2);
  });

  it.each<[string, LogEvent, object]>([
    ['clientId', created, { clientId: 'cc_short' }],
    ['workspaceId', created, { workspaceId: 'a b' }],
    ['name', created, { name: ' Orders' }],
    ['name', created, { name: '' }],
    ['name', created, { name: 'Or\u0000ders' }],
    ['name', created, { name: 'Orders \ud83d' }],
    ['name', created, { name: 'x'.repeat(101) }],
    ['name', created, { name: ['Orders'] }],
    ['authenticationType', created, { authenticationType: 'BASIC' }],
    ['verifier', created, { verifier: 'ccs_a-secret-in-place-of-its-hash' }],
    ['verifier', created, { verifier: undefined }],
    ['draftId', created, { draftId: null }],
    ['createdAt', created, { createdAt: '2026-02-30T00:00:00.000Z' }],
    ['createdAt', created, { createdAt: '2026-05-04T03:02:01Z' }],
    ['createdAt', created, { createdAt: new Date(at) }],
    ['secret', created, { secret: 'ccs_FAKE' }],
    ['constructor', created, { constructor: 'Orders' }],
    ['subscriptions', revoked, { subscriptions: ['sub_1', 'a b'] }],
    ['subscriptions', revoked, { subscriptions: 'sub_1' }],
    ['hint', created, { hint: '7Kq' }],
    ['hint', rotated, { hint: '7Kq2a' }],
    ['expiresAt', rotated, { expiresAt: '2027-01-01' }],
    ['description', created, { description: ' ' }],
    ['labels', created, { labels: {} }],
    ['labels', created, { labels: ['planning'] }],
    ['labels', described, { labels: { 'a b': 'planning' } }],
    ['labels', described, { labels: { team: 7 } }],
    ['labels', described, { labels: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v'])) }],
    ['externalId', created, { externalId: 'crm 4711' }],
    ['externalId', claimed, { externalId: 'ü' }],
    ['generation', rotated, { generation: 1.5 }],
    ['generation', rotated, { generation: '2' }],
    ['overlapSeconds', rotated, { overlapSeconds: 60 }],
    ['header', issued, { header: [] }],
    ['claims', issued, { claims: 'sub' }],
    ['replacedTokens', issued, { replacedTokens: 'GONE' }],
    ['entries', usage, usageWith({ client: 'nobody' })],
    ['entries', usage, usageWith({ generation: 0 })],
    ['entries', usage, usageWith({ subscription: 'a b' })],
    ['entries', usage, usageWith({ outcome: 'ok' })],
    ['entries', usage, usageWith({ count: 0 })],
    ['entries', usage, usageWith({ first: '2026-05-04T03:02:02.000Z' })],
    ['entries', usage, usageWith({ last: null })],
    ['entries', usage, usageWith({ secret: 'ccs_FAKE' })],
    ['entries', usage, { entries: {} }],
    ['unknownClients', usage, { unknownClients: -1 }],
    ['clients', usage, { clients: {} }],
  ])('is refused for its %s', (field, event, change) => {
    const error = refusal(spoilt(event, change));
    expect(error).toMatchObject({ type: event.type, field });
    for (const value of Object.values(change).filter((value) => String(value).trim().length > 4)) {
      expect(error.message).not.toContain(String(value));
    }
  });

  it('counts code points: a hundred of any plane fit', () => {
    expect(validate(spoilt(created, { name: '🌦'.repeat(100) }))).toBe(2);
    expect(refusal(spoilt(created, { name: '🌦'.repeat(101) })).field).toBe('name');
  });

  it.each(['ConsumerClientDeleted', 'constructor', '__proto__'])('is refused when its type is %s', (type) => {
    expect(refusal({ type, data: {} } as unknown as LogEvent)).toMatchObject({ type, field: 'type' });
  });
});

describe('In an upgrade, while a release runs that does not know the newest versions, an event', () => {
  const sealed = (event: LogEvent) => seal(stream, undefined, [event], context, at, 'previous');

  it('is written in the version before, with the id and hash of that version', () => {
    const used = { ...entry, subscription: 'sub_1', count: 3, last: '2026-05-04T03:02:09.000Z' } as const;
    const refused = { ...entry, generation: null, outcome: 'BAD_SECRET' } as const;
    const [written] = sealed({ ...usage, data: { ...usage.data, entries: [used, entry, refused], unknownClients: 7 } });
    const data = { process: 'process-1', clients: { [entry.client]: { uses: 5, lastUsedAt: used.last } } };
    expect(written).toMatchObject({ data, metadata: { schemaVersion: 1 } });
    if (!written) throw new Error('Nothing was sealed');
    expect(written.eventId).toBe(eventIdOf(context.commandId, 0, 'UsageRecorded', data));
    expect(hashOf({ ...written, stream, revision: 0n })).toBe(written.metadata.hash);
  });

  it('is read as what the version before means: a new static token ends the ones that it replaces', () => {
    const [written] = sealed(issued);
    const { replacedTokens: _, ...data } = issued.data;
    expect(written).toMatchObject({ data, metadata: { schemaVersion: 1 } });
    if (!written) throw new Error('Nothing was sealed');
    expect(upcast({ ...written, stream }).data).toEqual({ ...data, replacedTokens: 'ENDED' });
  });

  it('is not written if the version before has nothing to say', () => {
    expect(sealed({ ...usage, data: { ...usage.data, entries: [{ ...entry, outcome: 'ENDED' }] } })).toEqual([]);
  });

  it('is written as always if the release before knows its newest version', () => {
    expect(sealed(revoked)).toEqual(seal(stream, undefined, [revoked], context, at));
  });

  it.each([created, rotated])('is written without a hint ($type)', (event) => {
    const [written] = sealed(spoilt(event, { hint: '7Kq2' }));
    expect(written).toMatchObject({ data: event.data, metadata: { schemaVersion: event === created ? 1 : 2 } });
    expect(written?.data).not.toHaveProperty('hint');
    if (!written) throw new Error('Nothing was sealed');
    expect(upcast({ ...written, stream }).data).toEqual(event.data);
  });

  it.each<[string | undefined, LogEvent]>([
    ['expiresAt', spoilt(created, { expiresAt: at })],
    ['expiresAt', spoilt(rotated, { expiresAt: at, hint: '7Kq2' })],
    ['description', spoilt(created, { description: 'Imports orders' })],
    ['labels', spoilt(created, { labels: { team: 'planning' } })],
    ['externalId', spoilt(created, { externalId: 'crm:4711' })],
    ['description', described],
    ['externalId', claimed],
    [undefined, { ...described, data: {} }],
  ])('is refused for its %s, without which it would mean something else', (field, event) => {
    expect(() => sealed(event)).toThrow(new NotDuringUpgrade(field));
    expect(() => seal(stream, undefined, [event], context, at)).not.toThrow();
  });

  it('is checked as always', () => {
    expect(() => sealed(spoilt(usage, { entries: [{ ...entry, count: 0 }] }))).toThrow(InvalidEvent);
  });
});

describe('An event that is read back', () => {
  it('narrows by its type', () => {
    const event = upcast(recorded(created));
    if (event.type !== 'ConsumerClientCreated') throw new Error(`Read as ${event.type}`);
    expect(event.data.name).toBe('Orders');
    expect(event.position).toBe('0042');
  });

  it('keeps its stored metadata, and does not change the recorded event', () => {
    const { previousExpiresAt: _, ...data } = rotated.data;
    const event = recorded(rotated);
    const old = { ...event, data: { ...data, overlapSeconds: 90 }, metadata: { ...event.metadata, schemaVersion: 1 } };
    const before = structuredClone(old);
    expect(upcast(old)).toEqual({ ...old, data: { ...data, previousExpiresAt: '2026-05-04T03:03:31.000Z' } });
    expect(old).toEqual(before);
  });

  it.each<[string, number]>([
    ['ConsumerClientDeleted', 1],
    ['constructor', 1],
    ['ConsumerClientCreated', 3],
    ['ConsumerClientCreated', 0],
    ['ConsumerClientCreated', -1],
    ['ConsumerClientSecretRotated', 1.5],
  ])('stops its reader when it is %s version %d, and the error names its place', (type, schemaVersion) => {
    const event = recorded(created);
    const unknown = { ...event, type, metadata: { ...event.metadata, schemaVersion } };
    for (const read of [upcast, redact]) {
      expect(() => read(unknown)).toThrow(UnknownEvent);
      expect(() => read(unknown)).toThrow(
        `${type} version ${schemaVersion} in consumerClient-cc_RegistrySample001 at 0042`,
      );
    }
  });
});

describe('An event that leaves the log', () => {
  it('has the SHA-256 of a sensitive value in place of the value', () => {
    const event = recorded(created);
    const redacted = redact(event);
    expect(redacted).toEqual({
      ...event,
      data: {
        ...created.data,
        verifier: { sha256: 'd0d56697408ccbd385fce6db7bda01bac6bd2a3e824d6035ec0a48ab03772ffb' },
      },
    });
    expect(event.data.verifier).toBe(verifier);
    expect(redact(redacted)).toEqual(redacted);
  });

  it('never holds the value itself', () => {
    const encoded = fc.stringMatching(/^[!-~]{8,40}$/);
    fc.assert(
      fc.property(encoded, (secret) => {
        const event = recorded(spoilt(created, { verifier: `$argon2id$${secret}` }));
        expect(JSON.stringify(redact(event).data)).not.toContain(JSON.stringify(secret).slice(1, -1));
      }),
    );
  });

  it('stays as it is if nothing is sensitive', () => {
    const event = recorded(issued);
    expect(redact(event)).toEqual(event);
  });
});
