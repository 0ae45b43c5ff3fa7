import fc from 'fast-check';
import {
  type ChainLink,
  type CommandContext,
  eventIdOf,
  FIRST_HASH,
  hashOf,
  InvalidEvent,
  type LogEvent,
  type RecordedEvent,
  redact,
  seal,
  verifyChain,
} from '#events';

const stream = 'consumerClient-cc_ChainSample000001';
const at = '2026-05-04T03:02:01.000Z';
const verifier = '$argon2id$v=19$m=19456,t=2,p=1,keyid=FAKEFAKEFAK$FAKE$FAKE';

const context = (commandId = '0fd9f1a2-6b8e-4d7c-9a51-3c2b1a0f9e8d'): CommandContext => ({
  commandId,
  commandHash: 'c0'.repeat(32),
  actor: { subject: 'portal', roles: ['clients:write'], via: 'http' },
  workspaceId: 'acme',
  correlationId: 'request-1',
  causationId: 'request-1',
});

const created: LogEvent = {
  type: 'ConsumerClientCreated',
  data: {
    clientId: 'cc_ChainSample000001',
    workspaceId: 'acme',
    name: 'Orders',
    authenticationType: 'API_KEY',
    verifier,
    createdAt: at,
  },
};
const renamed = (name: string): LogEvent => ({ type: 'ConsumerClientRenamed', data: { name } });
const rotated = (generation: number): LogEvent => ({
  type: 'ConsumerClientSecretRotated',
  data: { generation, verifier, rotatedAt: at, previousExpiresAt: at },
});

/** Returns the events in the form in which the log returns them. Each inner list is the events of one command. */
const recorded = (commands: LogEvent[][], into = stream): RecordedEvent[] => {
  const events: RecordedEvent[] = [];
  for (const [index, command] of commands.entries()) {
    const commandId = `0fd9f1a2-6b8e-4d7c-9a51-${index.toString(16).padStart(12, '0')}`;
    for (const sealed of seal(into, endOf(events), command, context(commandId), at)) {
      const revision = BigInt(events.length);
      const stored = JSON.parse(JSON.stringify(sealed)) as typeof sealed;
      events.push({ ...stored, stream: into, revision, position: revision.toString().padStart(20, '0') });
    }
  }
  return events;
};

const endOf = (events: RecordedEvent[]): ChainLink | undefined => {
  const last = events.at(-1);
  return last && { revision: last.revision, hash: last.metadata.hash };
};

const life = recorded([[created], [renamed('Orders 2'), rotated(2)], [renamed('Orders 3')], [rotated(3)]]);

const changed = (index: number, change: (event: RecordedEvent) => RecordedEvent) =>
  life.map((event, at) => (at === index ? change(event) : event));

describe('The ids of a decision', () => {
  const ids = (events: LogEvent[], commandId?: string) =>
    seal(stream, undefined, events, context(commandId), at).map(({ eventId }) => eventId);

  it('are the same when the command is sent again, even if the stream has grown', () => {
    const events = [renamed('A'), renamed('B')];
    const behind = seal(stream, { revision: 7n, hash: 'ab'.repeat(32) }, events, context(), '2027-01-01T00:00:00.000Z');
    expect(behind.map(({ eventId }) => eventId)).toEqual(ids(events));
  });

  it('differ for another decision of the command, for another command, and for each event of a decision', () => {
    const other = '0fd9f1a2-6b8e-4d7c-9a51-3c2b1a0f9e8e';
    const all = [...ids([renamed('A'), renamed('A')]), ...ids([renamed('B')]), ...ids([renamed('A')], other)];
    expect(new Set(all).size).toBe(all.length);
  });

  it('depend on type and data, not on the order of fields', () => {
    const id = eventIdOf(context().commandId, 0, 'ConsumerClientRenamed', { a: 1, b: 2 });
    expect(eventIdOf(context().commandId, 0, 'ConsumerClientRenamed', { b: 2, a: 1 })).toBe(id);
    expect(eventIdOf(context().commandId, 0, 'SubscriptionEnded', { a: 1, b: 2 })).not.toBe(id);
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});

describe('Sealed events', () => {
  it('are each chained to the one before, the first to 64 zeros', () => {
    expect(life.map(({ metadata }) => metadata.previousHash)).toEqual([
      '0'.repeat(64),
      ...life.slice(0, -1).map(({ metadata }) => metadata.hash),
    ]);
    expect(FIRST_HASH).toBe('0'.repeat(64));
  });

  it('carry the version in which they were written, the time, and only the fields of the envelope', () => {
    const generous = { ...context(), now: at, actor: { ...context().actor, token: 'FAKE' } };
    const [sealed] = seal(stream, undefined, [rotated(2)], generous, at);
    expect(Object.keys(sealed?.metadata ?? {}).sort()).toEqual(
      [...Object.keys(context()), 'schemaVersion', 'occurredAt', 'previousHash', 'hash'].sort(),
    );
    expect(sealed?.metadata).toMatchObject({ ...context(), schemaVersion: 3, occurredAt: at });
  });

  it('are refused together when one of them is invalid', () => {
    expect(() => seal(stream, undefined, [renamed('A'), renamed('')], context(), at)).toThrow(InvalidEvent);
  });
});

describe('A chain', () => {
  it('is valid both as it was stored and as it left the log', async () => {
    const whole = { whole: true, last: endOf(life) };
    expect(await verifyChain(stream, life)).toEqual(whole);
    expect(await verifyChain(stream, life.map(redact))).toEqual(whole);
    expect(
      JSON.stringify(life.map(redact), (_, value: unknown) => (typeof value === 'bigint' ? '' : value)),
    ).not.toContain(verifier);
  });

  it('can be verified from a link that was verified before', async () => {
    expect(await verifyChain(stream, life.slice(2), endOf(life.slice(0, 2)))).toMatchObject({ whole: true });
    expect(await verifyChain(stream, life.slice(2), { revision: 1n, hash: FIRST_HASH })).toMatchObject({
      fault: 'PREVIOUS_HASH_MISMATCH',
      revision: 2n,
    });
  });

  it('is valid when it is empty, or read event by event', async () => {
    async function* slowly() {
      for (const event of life) yield await Promise.resolve(event);
    }
    expect(await verifyChain(stream, [])).toEqual({ whole: true, last: undefined });
    expect(await verifyChain(stream, slowly())).toEqual({ whole: true, last: endOf(life) });
  });

  it('is valid for any sequence of commands', async () => {
    const name = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
      .filter((text) => /^[^\s\p{Cc}\p{Cs}]+$/u.test(text));
    const event = fc.oneof(name.map(renamed), fc.integer({ min: 2, max: 1_000_000 }).map(rotated));
    const commands = fc.array(fc.array(event, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(commands, async (decided) => {
        const events = recorded(decided);
        expect(await verifyChain(stream, events)).toEqual({ whole: true, last: endOf(events) });
        expect(await verifyChain(stream, events.map(redact))).toEqual({ whole: true, last: endOf(events) });
      }),
    );
  });

  const tampered: [string, (event: RecordedEvent) => RecordedEvent, string][] = [
    ['its data', (event) => ({ ...event, data: { ...event.data, name: 'Mallory' } }), 'HASH_MISMATCH'],
    ['a new field in its data', (event) => ({ ...event, data: { ...event.data, admin: true } }), 'HASH_MISMATCH'],
    [
      'text that no hash can be of',
      (event) => ({ ...event, data: { ...event.data, name: '\ud83d' } }),
      'HASH_MISMATCH',
    ],
    ['its type', (event) => ({ ...event, type: 'ConsumerClientCredentialRetired' }), 'HASH_MISMATCH'],
    ['its type, to none of ours', (event) => ({ ...event, type: 'ConsumerClientDeleted' }), 'UNKNOWN_EVENT'],
    ['its id', (event) => ({ ...event, eventId: life[0]?.eventId ?? '' }), 'HASH_MISMATCH'],
    ['its stream', (event) => ({ ...event, stream: 'consumerClient-cc_AnotherOne0000001' }), 'FOREIGN_STREAM'],
    ['its revision', (event) => ({ ...event, revision: event.revision + 1n }), 'REVISION_GAP'],
    ...Object.entries({
      commandId: '0fd9f1a2-6b8e-4d7c-9a51-ffffffffffff',
      commandHash: '',
      actor: { subject: 'mallory', roles: ['clients:write'], via: 'http' },
      workspaceId: 'evil',
      correlationId: 'request-2',
      causationId: 'request-2',
      occurredAt: '2026-05-04T03:02:00.000Z',
      note: 'added',
      hash: 'f'.repeat(64),
    }).map(([field, value]): [string, (event: RecordedEvent) => RecordedEvent, string] => [
      `its ${field}`,
      (event) => ({ ...event, metadata: { ...event.metadata, [field]: value } }),
      'HASH_MISMATCH',
    ]),
    [
      'its previousHash',
      (event) => ({ ...event, metadata: { ...event.metadata, previousHash: FIRST_HASH } }),
      'PREVIOUS_HASH_MISMATCH',
    ],
    [
      'its schemaVersion',
      (event) => ({ ...event, metadata: { ...event.metadata, schemaVersion: 9 } }),
      'UNKNOWN_EVENT',
    ],
  ];

  it.each(tampered)('is broken at the event in which %s was changed', async (_, change, fault) => {
    const tamperedLife = changed(3, change);
    const { revision, position } = tamperedLife[3] ?? {};
    const broken = { whole: false, fault, revision, position };
    expect(await verifyChain(stream, tamperedLife)).toEqual(broken);
    expect(
      await verifyChain(
        stream,
        changed(3, change).map((event) => (fault === 'UNKNOWN_EVENT' ? event : redact(event))),
      ),
    ).toEqual(broken);
  });

  it.each([
    ['another verifier', `${verifier}X`],
    ['the hash of another verifier', { sha256: 'f'.repeat(64) }],
    ['nothing', undefined],
  ])('is broken where a verifier became %s', async (_, forged) => {
    const events = changed(2, (event) => ({ ...event, data: { ...event.data, verifier: forged } }));
    expect(await verifyChain(stream, events)).toMatchObject({ fault: 'HASH_MISMATCH', revision: 2n });
  });

  it('is broken after an event that was sealed again', async () => {
    const events = changed(1, (event) => {
      const forged = { ...event, data: { name: 'Mallory' } };
      return { ...forged, metadata: { ...forged.metadata, hash: hashOf(forged) } };
    });
    expect(await verifyChain(stream, events)).toMatchObject({ fault: 'PREVIOUS_HASH_MISMATCH', revision: 2n });
  });

  it('is broken at an event of an older version in its upcast form', async () => {
    const { previousExpiresAt: _, ...data } = { ...life[2]?.data };
    const old = changed(2, (event) => {
      const first = {
        ...event,
        data: { ...data, overlapSeconds: 0 },
        metadata: { ...event.metadata, schemaVersion: 1 },
      };
      return { ...first, metadata: { ...first.metadata, hash: hashOf(first) } };
    }).slice(0, 3);
    expect(await verifyChain(stream, old)).toMatchObject({ whole: true });
    const shown = old.map((event, index) => (index === 2 ? { ...event, data: { ...life[2]?.data } } : event));
    expect(await verifyChain(stream, shown)).toMatchObject({ fault: 'HASH_MISMATCH', revision: 2n });
  });

  it('reveals any event that was dropped, duplicated, swapped or brought in from elsewhere', async () => {
    const foreign = recorded([[created], [renamed('Elsewhere')]], 'consumerClient-cc_AnotherOne0000001');
    const place = fc.nat({ max: life.length - 1 });
    await fc.assert(
      fc.asyncProperty(place, place, async (from, to) => {
        const dropped = life.toSpliced(from, 1);
        // If only the last event is missing, the chain looks whole. Only a comparison with the known end reveals the
        // loss.
        const isCutShort = from === life.length - 1;
        expect(await verifyChain(stream, dropped)).toMatchObject({ whole: isCutShort });
        expect(await verifyChain(stream, dropped)).not.toEqual({ whole: true, last: endOf(life) });

        const [moved] = life.slice(from, from + 1) as [RecordedEvent];
        expect(await verifyChain(stream, life.toSpliced(to, 0, moved))).toMatchObject({ whole: false });
        if (from !== to)
          expect(await verifyChain(stream, dropped.toSpliced(to, 0, moved))).toMatchObject({ whole: false });
        expect(await verifyChain(stream, life.toSpliced(to, 0, ...foreign))).toMatchObject({ fault: 'FOREIGN_STREAM' });
        const renumbered = dropped.map((event, index) => ({ ...event, revision: BigInt(index) }));
        if (!isCutShort)
          expect(await verifyChain(stream, renumbered)).toMatchObject({ whole: false, revision: BigInt(from) });
      }),
    );
  });
});
