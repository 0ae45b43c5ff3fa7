import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { hashSecret, MasterKeys } from '#credentials';
import {
  type ClientId,
  currentStaticToken,
  type Instant,
  JWKS_MAX_AGE_SECONDS,
  PUBLISHED_BEFORE_SIGNING_SECONDS,
  secondsAfter,
  type SigningAlgorithm,
  signingKey,
  type SigningKeysState,
} from '#domain';
import { type BookOfRecord, type EventLog, internalContext, openBookOfRecord } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import {
  issueAccessToken,
  jwksOf,
  MasterKeyMismatch,
  SigningKeyRing,
  SigningKeyUnusable,
  signStaticToken,
  STATIC_TOKEN_SECONDS,
  staticTokenPeriod,
} from '#tokens';

const START: Instant = '2026-06-01T12:00:00.000Z';
const ISSUER = 'https://api.marketplace.example';
const CLIENT: ClientId = 'cc_0123456789abcdefghijkl';

const someone = () => internalContext({ via: 'cli', subject: 'operator', correlationId: 'test' });

const statuses = ({ keys }: SigningKeysState) => keys.map(({ status }) => status);

describe('the ring of signing keys', () => {
  const masterKey = randomBytes(32);
  const masterKeys = MasterKeys.from({ current: masterKey });
  let directory: string;
  let logs: EventLog[];

  /** Opens the log's file anew, as a new process does. The returned book shares no memory with earlier books. */
  const openBook = async (): Promise<BookOfRecord> => {
    const log = await openSqliteEventLog({ file: join(directory, 'events.db') });
    logs.push(log);
    return openBookOfRecord(log, () => new Date(START));
  };
  const ringOf = (book: BookOfRecord, keys = masterKeys, alg: SigningAlgorithm = 'EdDSA') =>
    new SigningKeyRing(book.signingKeys, keys, { alg, now: () => new Date(START) });
  const startedRing = async (book: BookOfRecord, keys = masterKeys, alg: SigningAlgorithm = 'EdDSA') => {
    const ring = ringOf(book, keys, alg);
    await ring.start();
    return ring;
  };
  const eventsOf = (book: BookOfRecord) => book.log.readStream('signingKeys', { consistency: 'strong' });
  /** Publishes a key, and makes this key the signing key at the earliest permitted time. Returns that time. */
  const rotate = async (book: BookOfRecord, ring: SigningKeyRing): Promise<Instant> => {
    const { kid } = await ring.publish(someone());
    const at = secondsAfter(START, PUBLISHED_BEFORE_SIGNING_SECONDS);
    await book.signingKeys.execute(undefined, { type: 'ActivateSigningKey', kid, at }, { context: someone() });
    return at;
  };
  const compromise = (book: BookOfRecord, kid: string) =>
    book.signingKeys.execute(undefined, { type: 'CompromiseSigningKey', kid, at: START }, { context: someone() });

  beforeEach(async () => {
    logs = [];
    directory = await mkdtemp(join(tmpdir(), 'signing-keys-'));
  });
  afterEach(async () => {
    await Promise.all(logs.map((log) => log.close()));
    await rm(directory, { recursive: true });
  });

  it('begins with a check of the master key and one key that signs', async () => {
    const book = await openBook();
    const ring = await startedRing(book);
    const events = await eventsOf(book);
    expect(events.map(({ type }) => type)).toEqual([
      'MasterKeyCheckRecorded',
      'SigningKeyPublished',
      'SigningKeyActivated',
    ]);
    const state = await ring.state();
    expect(statuses(state)).toEqual(['SIGNING']);
    expect(ring.signer(state)).toMatchObject({ kid: signingKey(state)?.kid, alg: 'EdDSA' });
  });

  it('stays the same after a restart, which appends nothing', async () => {
    const first = await openBook();
    const { kid } = (await startedRing(first)).signer((await first.signingKeys.read()).state);
    await first.log.close();
    const second = await openBook();
    const ring = await startedRing(second, masterKeys, 'RS256');
    expect(ring.signer(await ring.state())).toMatchObject({ kid, alg: 'EdDSA' });
    expect(await eventsOf(second)).toHaveLength(3);
  });

  it('has one key when many processes start at once, even with different algorithms', async () => {
    const processes = await Promise.all(Array.from({ length: 6 }, openBook));
    const algorithms = ['EdDSA', 'RS256'] as const;
    const rings = await Promise.all(
      processes.map((book, index) => startedRing(book, masterKeys, algorithms[index % 2 === 0 ? 0 : 1])),
    );
    const kids = await Promise.all(rings.map(async (ring) => ring.signer(await ring.state()).kid));
    expect(new Set(kids).size).toBe(1);
    expect(await eventsOf(processes[0] ?? (await openBook()))).toHaveLength(3);
  });

  it('gets a new key when it starts without a usable one', async () => {
    const book = await openBook();
    const ring = await startedRing(book);
    await compromise(book, ring.signer(await ring.state()).kid);
    const compromised = await ring.state();
    expect(() => ring.signer(compromised)).toThrow(SigningKeyUnusable);
    await ring.start();
    expect(statuses(await ring.state())).toEqual(['COMPROMISED', 'SIGNING']);
  });

  describe('over time', () => {
    const ringAt = (book: BookOfRecord, seconds: number) =>
      new SigningKeyRing(book.signingKeys, masterKeys, {
        alg: 'EdDSA',
        now: () => new Date(secondsAfter(START, seconds)),
      });

    it('lets a published key sign once every verifier can have it, whichever process advances the ring', async () => {
      const book = await openBook();
      const ring = await startedRing(book);
      await ring.publish(someone());
      const [early, inTime, too] = [599.999, 600, 601].map((seconds) => ringAt(book, seconds));
      await early?.advance();
      expect(statuses(await ring.state())).toEqual(['SIGNING', 'PUBLISHED']);
      await Promise.all([inTime?.advance(), too?.advance()]);
      expect(statuses(await ring.state())).toEqual(['RETIRED', 'SIGNING']);
      const events = (await eventsOf(book)).length;
      await too?.advance();
      expect(await eventsOf(book)).toHaveLength(events);
    });

    it('does not stay without a signing key', async () => {
      const [here, there] = [await openBook(), await openBook()];
      const ring = await startedRing(here);
      await compromise(here, ring.signer(await ring.state()).kid);
      await Promise.all([ring.advance(), ringOf(there).advance()]);
      expect(statuses(await ring.state())).toEqual(['COMPROMISED', 'SIGNING']);
    });
  });

  describe('and the master key', () => {
    it('a wrong master key stops the process, names MASTER_KEY, shows no key and changes nothing', async () => {
      await startedRing(await openBook());
      const book = await openBook();
      const wrong = randomBytes(32);
      const error: unknown = await ringOf(book, MasterKeys.from({ current: wrong }))
        .start()
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(MasterKeyMismatch);
      const shown = inspect(error, { depth: 9, showHidden: true });
      expect(shown).toContain('MASTER_KEY');
      for (const key of [masterKey, wrong]) {
        expect(shown).not.toContain(key.toString('base64'));
        expect(shown).not.toContain(key.toString('hex'));
      }
      expect(await eventsOf(book)).toHaveLength(3);
    });

    it('of two processes that start on an empty log with different master keys, one stops', async () => {
      const processes = await Promise.all([openBook(), openBook()]);
      const starts = processes.map((book) => ringOf(book, MasterKeys.from({ current: randomBytes(32) })).start());
      const outcomes = await Promise.allSettled(starts);
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
        reason: { name: 'MasterKeyMismatch' },
      });
    });

    it('a master key is recognized by its check value alone', async () => {
      const book = await openBook();
      const ring = await startedRing(book);
      await compromise(book, ring.signer(await ring.state()).kid);
      const wrong = ringOf(await openBook(), MasterKeys.from({ current: randomBytes(32) }));
      await expect(wrong.start()).rejects.toThrow(MasterKeyMismatch);
      expect(await eventsOf(book)).toHaveLength(4);
    });

    it('a master key with the right id and another check value is refused', async () => {
      const book = await openBook();
      const forged = {
        type: 'RecordMasterKeyCheck',
        masterKeyId: masterKeys.currentId,
        check: '0',
        at: START,
      } as const;
      await book.signingKeys.execute(undefined, forged, { context: someone() });
      await expect(startedRing(book)).rejects.toThrow(MasterKeyMismatch);
    });

    it('a new master key needs the former one beside it, as long as usable keys are wrapped under that', async () => {
      const former = await startedRing(await openBook());
      const { kid } = former.signer(await former.state());
      const next = randomBytes(32);
      const book = await openBook();
      const ring = await startedRing(book, MasterKeys.from({ current: next, previous: [masterKey] }));
      expect(ring.signer(await ring.state()).kid).toBe(kid);
      await rotate(book, ring);
      const alone = ringOf(await openBook(), MasterKeys.from({ current: next }));
      await expect(alone.start()).rejects.toThrow('add it to MASTER_KEY_PREVIOUS');
      await compromise(book, kid);
      await alone.start();
    });
  });

  describe.each(['EdDSA', 'RS256'] as const)('with %s', (alg) => {
    it('anybody can verify our tokens with the JWKS alone, before and after a rotation', async () => {
      const book = await openBook();
      const ring = await startedRing(book, masterKeys, alg);
      const server = createServer((_request, response) => {
        void ring.state().then((state) => response.end(JSON.stringify(jwksOf(state, START))));
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      try {
        const { port } = server.address() as AddressInfo;
        const newToken = async () => {
          const grant = { issuer: ISSUER, clientId: CLIENT, generation: 1 };
          return issueAccessToken(ring.signer(await ring.state()), grant, { issuedAt: START, jti: randomUUID() }).token;
        };
        const former = await newToken();
        await rotate(book, ring);
        const jwks = createRemoteJWKSet(new URL(`http://127.0.0.1:${port}/.well-known/jwks.json`));
        const expected = { issuer: ISSUER, audience: `${ISSUER}/gateway`, typ: 'at+jwt', currentDate: new Date(START) };
        const kids: unknown[] = [];
        for (const token of [former, await newToken()]) {
          const { payload, protectedHeader } = await jwtVerify(token, jwks, expected);
          expect(payload.sub).toBe(CLIENT);
          const own = ring.verificationKey(await ring.state(), protectedHeader.kid ?? '');
          if (!own) throw new Error('The ring has no key for its own token');
          await jwtVerify(token, own, expected);
          kids.push(protectedHeader.kid);
        }
        expect(kids).toEqual((await ring.state()).keys.map(({ kid }) => kid));
      } finally {
        server.closeAllConnections();
        server.close();
      }
    });

    it('a static token has the same bytes after a restart and a rotation, until its key is compromised', async () => {
      const book = await openBook();
      const ring = await startedRing(book, masterKeys, alg);
      const before = ring.signer(await ring.state());
      const verifier = await hashSecret('secret', masterKeys);
      const identity = {
        clientId: CLIENT,
        workspaceId: 'acme',
        name: 'reports',
        authenticationType: 'API_KEY',
      } as const;
      const workspace = { ...someone(), workspaceId: 'acme' };
      await book.clients.execute(
        CLIENT,
        { type: 'CreateClient', ...identity, verifier, at: START },
        { context: workspace },
      );
      const token = staticTokenPeriod({ issuer: ISSUER, clientId: CLIENT, generation: 1 }, before, {
        issuedAt: START,
        jti: randomUUID(),
      });
      const issue = { type: 'IssueStaticToken', token, compromisedKids: [], at: START } as const;
      await book.clients.execute(CLIENT, issue, { context: { ...workspace, commandId: randomUUID() } });
      const first = signStaticToken(token, before, START);
      const rotatedAt = await rotate(book, ring);
      await book.log.close();

      const restarted = await openBook();
      const { state: client } = await restarted.clients.read(CLIENT);
      const period =
        client.status === 'ACTIVE' ? currentStaticToken(client.tokens, 1, undefined, rotatedAt) : undefined;
      if (!period) throw new Error('The static token is not in the log');
      const again = await startedRing(restarted);
      const state = await again.state();
      expect(statuses(state)).toEqual(['RETIRED', 'SIGNING']);
      expect(again.signer(state).kid).not.toBe(period.kid);
      const repeated = signStaticToken(period, again.signerOf(state, period.kid), rotatedAt);
      expect(repeated).toEqual({ ...first, expiresIn: STATIC_TOKEN_SECONDS - PUBLISHED_BEFORE_SIGNING_SECONDS });

      await compromise(restarted, period.kid);
      const after = await again.state();
      expect(() => again.signerOf(after, period.kid)).toThrow(SigningKeyUnusable);
      expect(again.verificationKey(after, period.kid)).toBeUndefined();
    });
  });

  describe('and its public keys', () => {
    const kidsIn = (state: SigningKeysState, at: Instant) => jwksOf(state, at).keys.map(({ kid }) => kid);

    it('are shown from their publication until their last token has ended', async () => {
      const book = await openBook();
      const ring = await startedRing(book);
      const { kid: former } = ring.signer(await ring.state());
      const { kid: next } = await ring.publish(someone());
      expect(kidsIn(await ring.state(), START)).toEqual([former, next]);
      const retiredAt = secondsAfter(START, 2 * JWKS_MAX_AGE_SECONDS);
      await book.signingKeys.execute(
        undefined,
        { type: 'ActivateSigningKey', kid: next, at: retiredAt },
        { context: someone() },
      );
      const state = await ring.state();
      const lastEnd = secondsAfter(retiredAt, STATIC_TOKEN_SECONDS + JWKS_MAX_AGE_SECONDS);
      expect(kidsIn(state, secondsAfter(lastEnd, -1))).toEqual([former, next]);
      expect(kidsIn(state, lastEnd)).toEqual([next]);
    });

    it('disappear at once when they are compromised, and verify no token any more', async () => {
      const book = await openBook();
      const ring = await startedRing(book);
      const { kid } = ring.signer(await ring.state());
      expect(ring.verificationKey(await ring.state(), kid)?.type).toBe('public');
      await compromise(book, kid);
      expect(jwksOf(await ring.state(), START)).toEqual({ keys: [] });
      expect(ring.verificationKey(await ring.state(), kid)).toBeUndefined();
      expect(ring.verificationKey(await ring.state(), 'unknown')).toBeUndefined();
    });

    it('contain nothing private', async () => {
      for (const alg of ['EdDSA', 'RS256'] as const) {
        const ring = ringOf(await openBook(), masterKeys, alg);
        await ring.start();
        await ring.publish(someone());
        for (const key of jwksOf(await ring.state(), START).keys) {
          const members = key.kty === 'OKP' ? ['crv', 'kty', 'x'] : ['e', 'kty', 'n'];
          expect(Object.keys(key).sort()).toEqual([...members, 'alg', 'kid', 'use'].sort());
        }
      }
    });
  });

  it('a key that has never signed can’t sign an old static token again', async () => {
    const ring = await startedRing(await openBook());
    const { kid } = await ring.publish(someone());
    const state = await ring.state();
    expect(() => ring.signerOf(state, kid)).toThrow('PUBLISHED');
    expect(() => ring.signerOf(state, 'unknown')).toThrow('unknown');
  });
});
