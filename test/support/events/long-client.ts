import { randomUUID } from 'node:crypto';
import { type ClientId, consumerClient, type ConsumerClientEvent } from '#domain';
import type { EventLog } from '#event-log';
import { type ChainLink, type CommandContext, type NewEvent, seal } from '#events';

const WORKSPACE = 'acme';
const AT = '2026-01-01T00:00:00.000Z';
const VERIFIER = '$argon2id$v=19$m=19456,t=2,p=1,keyid=a$b$c';
const EVENTS_PER_APPEND = 150;

/** Returns the context of a command that has this id. */
export const contextOf = (commandId: string = randomUUID()): CommandContext => ({
  ...{ commandId, commandHash: '0'.repeat(64), workspaceId: WORKSPACE },
  actor: { subject: 'a-test', roles: [], via: 'test' },
  ...{ correlationId: commandId, causationId: commandId },
});

/**
 * Appends the events of a client that is created and then renamed to `Name 1`, `Name 2` and so on. Each event has a
 * command of its own. Returns the ids of the commands. The command at index i wrote the event with revision i.
 */
export const appendLongClient = (log: EventLog, clientId: ClientId, events: number): Promise<string[]> =>
  appendClient(log, clientId, events, (revision) => ({
    type: 'ConsumerClientRenamed',
    data: { name: `Name ${revision}` },
  }));

/** Appends the events of a client with a static token for each of many subscriptions. The claims contain `filler()`. */
export const appendClientWithTokens = (log: EventLog, clientId: ClientId, events: number, filler: () => string) =>
  appendClient(log, clientId, events, (revision) => ({
    type: 'ConsumerClientStaticTokenIssued',
    data: {
      ...{ generation: 1, subscriptionId: `sub_${revision}`, jti: `jti-${revision}`, kid: 'key', issuedAt: AT },
      ...{
        expiresAt: AT.replace('2026', '2027'),
        header: { alg: 'EdDSA' },
        claims: { filler: filler() },
        replacedTokens: 'KEPT',
      },
    },
  }));

async function appendClient(
  log: EventLog,
  clientId: ClientId,
  events: number,
  eventAt: (revision: number) => ConsumerClientEvent,
): Promise<string[]> {
  const stream = consumerClient.stream(clientId);
  const commandIds = Array.from({ length: events }, () => randomUUID());
  const identity = { clientId, workspaceId: WORKSPACE, name: 'Name 0', authenticationType: 'OAUTH2' } as const;
  const created = { type: 'ConsumerClientCreated', data: { ...identity, verifier: VERIFIER, createdAt: AT } } as const;
  let last: ChainLink | undefined;
  for (let first = 0; first < events; first += EVENTS_PER_APPEND) {
    const expected = last?.revision ?? 'none';
    const batch: NewEvent[] = [];
    for (const [index, commandId] of commandIds.slice(first, first + EVENTS_PER_APPEND).entries()) {
      const revision = first + index;
      const event = revision === 0 ? created : eventAt(revision);
      const sealed = seal(stream, last, [event], contextOf(commandId), AT);
      batch.push(...sealed);
      last = { revision: BigInt(revision), hash: sealed[0]?.metadata.hash ?? '' };
    }
    await log.append(stream, expected, batch);
  }
  return commandIds;
}
