import type { Instant } from '#domain';
import {
  type ManagementTokenIssued,
  type OperatorAct,
  type RecordedEvent,
  type SigningKeyOperation,
  upcast,
} from '#events';
import { appendNext, type OperatorActOptions } from './append-next.js';
import type { CallOptions } from './call-options.js';
import type { EventLog } from './port.js';
import { type Look, StreamLooks } from './stream-looks.js';
import { OPERATOR_ACTS_STREAM } from './streams.js';

/** A management token that an operator has made with the built-in issuer. */
export type OperatorsToken = ManagementTokenIssued['data'] & {
  /** Who has made the token. */
  readonly issuedBy: string;
  readonly endedAt?: Instant;
  /** Who has ended the token. */
  readonly endedBy?: string;
};

interface EndingsSoFar {
  /** The ids of the tokens that were ended. */
  readonly ended: ReadonlySet<string>;
  /** The revision of the first event that was not read. */
  readonly next: bigint;
}

const NO_ENDINGS: EndingsSoFar = { ended: new Set(), next: 0n };
const PAGE = 500;

/** Knows which management tokens operators have ended. Each look reads only the events since the last one. */
export class EndedManagementTokens extends StreamLooks<EndingsSoFar> {
  constructor(log: Pick<EventLog, 'readStream' | 'connectionEpoch'>) {
    super(log, NO_ENDINGS);
  }

  /**
   * Whether a token was ended. Tells so of every ending that was acknowledged `LOOKS_HOLD_AFTER_MS` before. Throws
   * `LogUnavailable`, `HistoryMissing`.
   */
  async has(tokenId: string): Promise<boolean> {
    return (await this.inForce()).ended.has(tokenId);
  }

  protected async read(before: Look<EndingsSoFar>, options?: CallOptions) {
    // Another connection may lead to a log that was restored to an older state.
    const known = before.connectionEpoch === this.log.connectionEpoch ? before.found : NO_ENDINGS;
    const ended = new Set(known.ended);
    let { next } = known;
    for await (const recorded of actsFrom(this.log, next, { ...options, isProbablyMissing: before.isMissing })) {
      next = recorded.revision + 1n;
      // Later releases may record acts of other types, which end no token.
      if (recorded.type !== 'ManagementTokenEnded') continue;
      const event = upcast(recorded);
      if (event.type === 'ManagementTokenEnded') ended.add(event.data.tokenId);
    }
    return { found: { ended, next }, isMissing: next === 0n };
  }
}

/** Yields the operators' acts from a revision on, by strong reads. */
async function* actsFrom(
  log: Pick<EventLog, 'readStream'>,
  first: bigint,
  options?: CallOptions & { readonly isProbablyMissing?: boolean },
): AsyncGenerator<RecordedEvent, void> {
  for (let from = first; ;) {
    const events = await log.readStream(OPERATOR_ACTS_STREAM, { from, limit: PAGE, consistency: 'strong', ...options });
    yield* events;
    const last = events.at(-1);
    if (!last || events.length < PAGE) return;
    from = last.revision + 1n;
  }
}

/**
 * Returns the management tokens that operators have made, oldest first. Throws `LogUnavailable`, `HistoryMissing`,
 * `UnknownEvent`.
 */
export async function readOperatorsTokens(log: Pick<EventLog, 'readStream'>): Promise<readonly OperatorsToken[]> {
  return [...(await foldTokens(log)).tokens.values()];
}

interface FoldedTokens {
  readonly tokens: ReadonlyMap<string, OperatorsToken>;
  readonly last: RecordedEvent | undefined;
}

async function foldTokens(log: Pick<EventLog, 'readStream'>): Promise<FoldedTokens> {
  const tokens = new Map<string, OperatorsToken>();
  let last: RecordedEvent | undefined;
  for await (const recorded of actsFrom(log, 0n)) {
    last = recorded;
    if (recorded.type !== 'ManagementTokenIssued' && recorded.type !== 'ManagementTokenEnded') continue;
    const event = upcast(recorded);
    const { subject } = event.metadata.actor;
    if (event.type === 'ManagementTokenIssued') tokens.set(event.data.tokenId, { ...event.data, issuedBy: subject });
    if (event.type !== 'ManagementTokenEnded') continue;
    const token = tokens.get(event.data.tokenId);
    if (token) tokens.set(token.tokenId, { ...token, endedAt: event.data.endedAt, endedBy: subject });
  }
  return { tokens, last };
}

/** Records that the administrator's token was replaced. Throws `InvalidEvent`, `LogUnavailable`. */
export async function recordAdministratorTokenRotation(log: EventLog, options: OperatorActOptions): Promise<void> {
  await record(log, options, (reason, at) => ({
    type: 'AdministratorTokenRotated',
    data: { rotatedAt: at, ...reason },
  }));
}

/** Records a management token. A token MUST be recorded before anybody gets it. Throws `InvalidEvent`, `LogUnavailable`. */
export async function recordManagementToken(
  log: EventLog,
  token: Omit<ManagementTokenIssued['data'], 'reason'>,
  options: OperatorActOptions,
): Promise<void> {
  await record(log, options, (reason) => ({ type: 'ManagementTokenIssued', data: { ...token, ...reason } }));
}

/** Records that signing keys were changed. Throws `InvalidEvent`, `LogUnavailable`. */
export async function recordSigningKeyOperation(
  log: EventLog,
  { operation, kids }: { readonly operation: SigningKeyOperation; readonly kids: readonly string[] },
  options: OperatorActOptions,
): Promise<void> {
  await record(log, options, (reason, at) => ({
    ...{ type: 'SigningKeysOperated', data: { operation, kids, operatedAt: at, ...reason } },
  }));
}

type Reason = { readonly reason?: string };

/** Appends an act that depends on no act before. Reads only the last one, for the chain. */
const record = (
  log: EventLog,
  { context, now, reason }: OperatorActOptions,
  act: (reason: Reason, at: Instant) => OperatorAct,
): Promise<boolean> =>
  appendNext(log, {
    ...{ stream: OPERATOR_ACTS_STREAM, context, now },
    read: () => log.readStream(OPERATOR_ACTS_STREAM, { direction: 'backwards', limit: 1, consistency: 'strong' }),
    decide: (_, at) => act(reason === undefined ? {} : { reason }, at),
  });

/**
 * Ends a management token. All processes refuse it when `LOOKS_HOLD_AFTER_MS` have passed after this call. Returns
 * `false` if it was ended already, and `undefined` if no operator has made such a token. Throws `InvalidEvent`,
 * `LogUnavailable`.
 */
export async function endManagementToken(
  log: EventLog,
  tokenId: string,
  { context, now, reason }: OperatorActOptions,
): Promise<boolean | undefined> {
  let token: OperatorsToken | undefined;
  const isNew = await appendNext(log, {
    ...{ stream: OPERATOR_ACTS_STREAM, context, now },
    read: async () => {
      const { tokens, last } = await foldTokens(log);
      token = tokens.get(tokenId);
      return last ? [last] : [];
    },
    decide: (_, endedAt) => {
      if (!token || token.endedAt !== undefined) return undefined;
      return { type: 'ManagementTokenEnded', data: { tokenId, endedAt, ...(reason !== undefined && { reason }) } };
    },
  });
  return token && isNew;
}
