import { createHash, type KeyObject } from 'node:crypto';
import type { ClientId } from '#domain';
import { hashedForm, type LogEvent, type RecordedEvent, seal } from '#events';
import {
  consistencyProof,
  cosign,
  type EvidenceParts,
  inclusionProof,
  KEY_TYPE,
  type KeyType,
  noteOf,
  publicKeyBytes,
  rootOf,
  signText,
  statementText,
  treeHeadText,
  vkeyOf,
} from '#transparency';
import { grownTree } from './grown-tree.js';
import { openKey } from './open-key.js';

export const ORIGIN = 'hub.example/0195d3a1';
export const TIME_COSIGNER = `${ORIGIN}/time`;
export const WITNESS = 'witness.example/w1';

/** The keys of the log, its cosigner, a witness, and of somebody else. */
export const keys = { log: openKey(1), time: openKey(2), witness: openKey(3), stranger: openKey(4) };

export const vkey = (name: string, type: KeyType, key: KeyObject) =>
  vkeyOf({ name, type, publicKey: publicKeyBytes(key) });

export const LOG_VKEY = vkey(ORIGIN, KEY_TYPE.ED25519, keys.log);
export const TIME_VKEY = vkey(TIME_COSIGNER, KEY_TYPE.COSIGNATURE, keys.time);
export const WITNESS_VKEY = vkey(WITNESS, KEY_TYPE.COSIGNATURE, keys.witness);
export const POLICY = `log ${LOG_VKEY}\nwitness w1 ${WITNESS_VKEY}\nquorum w1\n`;

/** The time of the cosignatures, in POSIX seconds. */
export const SIGNED_AT = 1_780_000_000;

const AT = '2026-05-04T03:02:01.000Z';
const VERIFIER = '$argon2id$v=19$m=19456,t=2,p=1,keyid=FAKEFAKEFAK$FAKE$FAKE';

export const clientIdOf = (name: string): ClientId => `cc_${name.padEnd(22, '0')}`;
export const streamOf = (name: string) => `consumerClient-${clientIdOf(name)}`;

const created = (clientId: ClientId, name: string): LogEvent => ({
  type: 'ConsumerClientCreated',
  data: {
    ...{ clientId, workspaceId: 'acme', name, authenticationType: 'API_KEY', verifier: VERIFIER, createdAt: AT },
    ...{ description: 'Wetter ☂ “β” "\\ 🌍', labels: { z: '2', '10': '3', '9': '4 ☂' } },
  },
});
const renamed = (name: string): LogEvent => ({ type: 'ConsumerClientRenamed', data: { name } });
const rotated = (generation: number): LogEvent => ({
  type: 'ConsumerClientSecretRotated',
  data: { generation, verifier: VERIFIER, rotatedAt: AT, previousExpiresAt: AT },
});
const revoked = (): LogEvent => ({
  type: 'ConsumerClientRevoked',
  data: { reason: 'Left', revokedAt: AT, subscriptions: [] },
});

/** A small log in memory, with the tree over it and the keys to sign for it. */
export class EvidenceBook {
  private constructor(
    readonly events: readonly RecordedEvent[],
    private readonly tree: ReturnType<typeof grownTree>,
  ) {}

  /**
   * Makes a log. Each element is the name of a client that has an event there: its first one creates it, the others
   * rename it and rotate its secret in turn, and `<name>!` revokes it.
   */
  static of(turns: readonly string[]): EvidenceBook {
    const events: RecordedEvent[] = [];
    const streams = new Map<string, RecordedEvent[]>();
    for (const turn of turns) {
      const clientId = clientIdOf(turn.replace('!', ''));
      const stream = `consumerClient-${clientId}`;
      const past = streams.get(stream) ?? [];
      const next = turn.endsWith('!')
        ? revoked()
        : past.length === 0
          ? created(clientId, turn)
          : past.length % 2 === 1
            ? renamed(`Name ${past.length} ☂`)
            : rotated(past.length / 2 + 1);
      const last = past.at(-1);
      const commandId = `0fd9f1a2-6b8e-4d7c-9a51-${String(events.length).padStart(12, '0')}`;
      const context = {
        ...{ commandId, commandHash: 'c0'.repeat(32), workspaceId: 'acme' },
        ...{ actor: { subject: 'portal', roles: ['clients:write'], via: 'http' } },
        ...{ correlationId: 'request-1 \t\b\u0001\u007f\u2028', causationId: 'request-1' },
      };
      const link = last && { revision: last.revision, hash: last.metadata.hash };
      const [sealed] = seal(stream, link, [next], context, AT);
      if (!sealed) throw new Error('No event was made');
      const position = String(events.length).padStart(20, '0');
      const event = { ...sealed, stream, revision: BigInt(past.length), position };
      events.push(event);
      streams.set(stream, [...past, event]);
    }
    const tree = grownTree(events.length, (index) => Buffer.from(events[index]?.metadata.hash ?? '', 'hex'));
    return new EvidenceBook(events, tree);
  }

  get size(): number {
    return this.events.length;
  }

  /** Returns the head of the first `size` leaves, signed by the log, its cosigner, and the witness. */
  async head(size = this.size): Promise<string> {
    return signedHead(treeHeadText({ origin: ORIGIN, size, root: await rootOf(size, this.tree.readTile) }));
  }

  /** Returns the evidence about a stream in the tree of the first `size` leaves. */
  async evidence(stream: string, { size = this.size, since }: { size?: number; since?: number } = {}) {
    const head = await this.head(size);
    const events: EvidenceParts['events'][number][] = [];
    let last: RecordedEvent | undefined;
    for (const [leafIndex, event] of this.events.slice(0, size).entries()) {
      if (event.stream !== stream) continue;
      const proof = await inclusionProof(leafIndex, size, this.tree.readTile);
      events.push({ hashedForm: hashedForm(event), leafIndex, proof });
      last = event;
    }
    if (!last) throw new Error(`${stream} has no event among the first ${size}`);
    const statement = signedStatement({ stream, last, treeSize: size });
    const parts: EvidenceParts = { events, head, statement, policy: POLICY };
    if (since === undefined) return parts;
    return {
      ...parts,
      consistency: { oldSize: since, proof: await consistencyProof(since, size, this.tree.readTile) },
    };
  }
}

export const signedHead = (text: string): string =>
  noteOf(text, [
    signText(ORIGIN, keys.log, text),
    cosign(TIME_COSIGNER, keys.time, SIGNED_AT, text),
    cosign(WITNESS, keys.witness, SIGNED_AT + 5, text),
  ]);

export function signedStatement(said: {
  origin?: string;
  stream: string;
  last: RecordedEvent;
  treeSize: number;
}): string {
  const { origin = ORIGIN, stream, last, treeSize } = said;
  const isEnded = last.type === 'ConsumerClientRevoked';
  const end = { lastRevision: last.revision, lastHash: last.metadata.hash, isEnded };
  const text = statementText({ origin, stream, treeSize, ...end });
  return noteOf(text, [signText(ORIGIN, keys.log, text)]);
}

export const sha256 = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest();
