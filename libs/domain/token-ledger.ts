import { fastestClock, type Instant, secondsAfter } from './instant.js';
import type { SubscriptionId } from './subscription.js';

/** Maximum number of token revocations that a client may append within a minute. */
export const MAX_TOKEN_REVOCATIONS_PER_MINUTE = 30;
/** Maximum number of revoked tokens that are remembered one by one. */
export const MAX_REMEMBERED_REVOCATIONS = 1000;
/** When the list of revoked tokens is full, this many of its oldest entries are forgotten together. */
const FORGOTTEN_TOGETHER = MAX_REMEMBERED_REVOCATIONS / 2;
/** Maximum number of static tokens that are remembered per generation and scope. */
export const MAX_STATIC_TOKENS = 4;
/** Maximum number of ends that spare some of the earlier tokens. Above this number, the oldest end spares none. */
export const MAX_PARTIAL_ENDS = 10;

/**
 * One year of a static token: when the token is valid, and everything else that the token contains except the
 * signature. Signing this data again gives the same bytes, so the token itself need not be stored.
 */
export interface StaticTokenPeriod {
  readonly generation: number;
  /** Absent if this is the token of the plain `/login`. */
  readonly subscriptionId?: SubscriptionId;
  readonly jti: string;
  readonly kid: string;
  readonly issuedAt: Instant;
  readonly expiresAt: Instant;
  /** The complete JOSE header. */
  readonly header: Readonly<Record<string, unknown>>;
  /** The complete JWT claims. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * What a new static token does to the earlier ones of its generation and scope. `ENDED` is found only in the events of
 * older versions of this software: these versions refused each replaced token from then on.
 */
export type ReplacedTokens = 'ENDED' | 'KEPT';

export type RevokedTokenKind = 'ACCESS_TOKEN' | 'REFRESH_FAMILY' | 'STATIC_TOKEN';
export interface RevokedToken {
  readonly kind: RevokedTokenKind;
  /** The `jti` of the token, or the id of the refresh family (all refresh tokens that descend from one login). */
  readonly tokenId: string;
  /** When the token was issued or the refresh family began. The issuer's clock may have been wrong. */
  readonly issuedAt: Instant;
  /** When the token, or the whole refresh family, would have expired anyway. */
  readonly expiresAt: Instant;
}

/** The facts about a token that tell whether it was revoked or ended. */
export interface IssuedToken extends Pick<RevokedToken, 'kind' | 'tokenId' | 'issuedAt'> {
  /**
   * The client's token epoch when the token was issued. Absent on a static token, and on a token that an older version
   * of this software issued.
   */
  readonly epoch?: number | undefined;
}

/** An end of the tokens that were issued up to a moment. It spares the tokens that were issued after that moment. */
interface PartialEnd {
  /** Only tokens of an earlier epoch are refused. */
  readonly beforeEpoch: number;
  readonly issuedUpTo: Instant;
  /** When the end happened, by the fastest clock. A token with a later time of issue was dated by a wrong clock. */
  readonly endedBy: Instant;
}

/**
 * The state of a client's tokens: which static tokens are current, and which access tokens and refresh families are
 * refused.
 *
 * An ending must hold whatever the clocks did before and do later. So the time of issue alone does not decide whether an
 * ending covers a token. Instead the token carries the client's **token epoch**, a number that grows with each ending:
 *
 * 1. When all tokens end, a new epoch begins, and all tokens of earlier epochs are refused.
 * 2. When the tokens that were issued up to a moment end, a new epoch begins. Of the earlier epochs, the tokens that
 *    were issued up to that moment are refused, and so are the tokens that seem to be issued after the ending: a clock
 *    that was ahead must have dated them.
 * 3. Single tokens are revoked by their ids. The list of ids is limited by its length, never by time: a new epoch begins
 *    when the list is half full. When the list is full, its older half is forgotten, and all tokens that are older than
 *    that epoch are refused.
 * 4. A token of an older version of this software carries no epoch. It counts as a token of the first epoch.
 */
export interface TokenLedger {
  /**
   * For each generation of the client's secret and each scope (one subscription, or the plain `/login`): the static
   * tokens that were not revoked or ended, in the order in which they were recorded. A token that was replaced and kept
   * stays here: perhaps it only seemed unusable, to a process whose clock was wrong.
   */
  readonly periods: readonly StaticTokenPeriod[];
  /** The token epoch that tokens carry if they are issued now. */
  readonly epoch: number;
  /** All tokens of an earlier epoch than this are refused. */
  readonly refusedBeforeEpoch: number;
  /** Oldest first. */
  readonly partialEnds: readonly PartialEnd[];
  /**
   * Access tokens and refresh families (all refresh tokens of one login) that were revoked one by one, oldest first.
   */
  readonly revoked: readonly RevokedToken[];
  /** The epoch that began when the older half of `revoked` was complete. */
  readonly epochAfterOlderHalf: number;
  /** When the latest revocations happened, in the order in which they were recorded. */
  readonly recentRevocations: readonly Instant[];
}

const FIRST_EPOCH = 0;

export const emptyTokenLedger: TokenLedger = {
  periods: [],
  epoch: FIRST_EPOCH,
  refusedBeforeEpoch: FIRST_EPOCH,
  partialEnds: [],
  revoked: [],
  epochAfterOlderHalf: FIRST_EPOCH,
  recentRevocations: [],
};

// ---- changes

/**
 * Adds a static token. If the earlier ones of its generation and scope are kept and there are too many of them, removes
 * the one that expires first, apart from the new one.
 */
export const startPeriod = (
  ledger: TokenLedger,
  period: StaticTokenPeriod,
  replacedTokens: ReplacedTokens,
): TokenLedger => {
  const { generation, subscriptionId } = period;
  const replaced = ledger.periods.filter((p) => p.generation === generation && p.subscriptionId === subscriptionId);
  const removed = replacedTokens === 'ENDED' ? replaced : firstToExpireIfFull(replaced);
  return { ...ledger, periods: [...ledger.periods.filter((p) => !removed.includes(p)), period] };
};

const firstToExpireIfFull = (periods: readonly StaticTokenPeriod[]): StaticTokenPeriod[] =>
  periods.length < MAX_STATIC_TOKENS ? [] : [periods.reduce((first, p) => (p.expiresAt < first.expiresAt ? p : first))];

/**
 * Keeps the static tokens of these generations of the client's secret. Ends the static tokens of all other generations.
 */
export const keepGenerations = (ledger: TokenLedger, generations: readonly number[]): TokenLedger => ({
  ...ledger,
  periods: ledger.periods.filter(({ generation }) => generations.includes(generation)),
});

/**
 * Records that a token was revoked. A static token ends because its period is removed. Any other token is added to the
 * revoked tokens.
 */
export const recordRevocation = (
  ledger: TokenLedger,
  { kind, tokenId, issuedAt, expiresAt, revokedAt }: RevokedToken & { readonly revokedAt: Instant },
): TokenLedger => {
  const recentRevocations = [...withinLastMinute(ledger.recentRevocations, revokedAt), revokedAt];
  if (kind === 'STATIC_TOKEN') {
    return { ...ledger, recentRevocations, periods: ledger.periods.filter(({ jti }) => jti !== tokenId) };
  }
  const shortened = beginEpochIfHalfFull(forgetOlderHalfIfFull(ledger), revokedAt);
  return { ...shortened, recentRevocations, revoked: [...shortened.revoked, { kind, tokenId, issuedAt, expiresAt }] };
};

/** If the list of revoked tokens is full: forgets its older half, and refuses all tokens that are as old instead. */
const forgetOlderHalfIfFull = (ledger: TokenLedger): TokenLedger => {
  if (ledger.revoked.length < MAX_REMEMBERED_REVOCATIONS) return ledger;
  return { ...refuseBefore(ledger, ledger.epochAfterOlderHalf), revoked: ledger.revoked.slice(FORGOTTEN_TOGETHER) };
};

const beginEpochIfHalfFull = (ledger: TokenLedger, at: Instant): TokenLedger => {
  if (ledger.revoked.length !== FORGOTTEN_TOGETHER) return ledger;
  const epoch = epochAfter(ledger, at);
  return { ...ledger, epoch, epochAfterOlderHalf: epoch };
};

/**
 * Ends all static tokens, and refuses all other tokens that were issued until now. If `issuedUpTo` is before `endedAt`,
 * the end is partial: it spares the tokens that were issued after `issuedUpTo`.
 */
export const recordEnd = (
  ledger: TokenLedger,
  { issuedUpTo, endedAt }: { readonly issuedUpTo: Instant; readonly endedAt: Instant },
): TokenLedger => {
  const epoch = epochAfter(ledger, endedAt);
  const ended = { ...ledger, epoch };
  if (endedAt <= issuedUpTo) return { ...refuseBefore(ended, epoch), periods: [] };
  const end: PartialEnd = { beforeEpoch: epoch, issuedUpTo, endedBy: fastestClock(endedAt) };
  const periods = ledger.periods.filter(({ issuedAt }) => !isCoveredBy(end, issuedAt));
  return limitPartialEnds({ ...ended, periods, partialEnds: [...ledger.partialEnds, end] });
};

const isCoveredBy = ({ issuedUpTo, endedBy }: PartialEnd, issuedAt: Instant): boolean =>
  issuedAt <= issuedUpTo || endedBy < issuedAt;

const limitPartialEnds = (ledger: TokenLedger): TokenLedger => {
  const [oldest] = ledger.partialEnds;
  return oldest && ledger.partialEnds.length > MAX_PARTIAL_ENDS ? refuseBefore(ledger, oldest.beforeEpoch) : ledger;
};

const refuseBefore = (ledger: TokenLedger, epoch: number): TokenLedger => {
  const refusedBeforeEpoch = Math.max(ledger.refusedBeforeEpoch, epoch);
  const partialEnds = ledger.partialEnds.filter(({ beforeEpoch }) => refusedBeforeEpoch < beforeEpoch);
  return { ...ledger, refusedBeforeEpoch, partialEnds };
};

/**
 * Returns the next epoch: a higher number than the present one, whatever the clock shows. The number is usually the time
 * in seconds since 1970. So it is also higher than the epochs that began in a log which was lost and replaced by an
 * older copy.
 */
const epochAfter = ({ epoch }: TokenLedger, at: Instant): number =>
  Math.max(epoch + 1, Math.floor(Date.parse(at) / 1000));

/** Returns the moments in the last minute. A moment in the future comes from a wrong clock and does not count. */
const withinLastMinute = (moments: readonly Instant[], at: Instant) => {
  const [minuteAgo, now] = [secondsAfter(at, -60), fastestClock(at)];
  return moments.filter((moment) => minuteAgo < moment && moment <= now);
};

// ---- questions

/**
 * Returns the static token that a login with this generation and scope gets at `at`: the newest one that is usable then.
 */
export const currentStaticToken = (
  ledger: TokenLedger,
  generation: number,
  subscriptionId: SubscriptionId | undefined,
  at: Instant,
): StaticTokenPeriod | undefined =>
  ledger.periods.findLast((p) => p.generation === generation && p.subscriptionId === subscriptionId && isUsable(p, at));

/** Returns the static token with this id if it is usable at `at`. It need not be the one that a login gets. */
export const usableStaticToken = (ledger: TokenLedger, jti: string, at: Instant): StaticTokenPeriod | undefined =>
  ledger.periods.find((p) => p.jti === jti && isUsable(p, at));

/**
 * Whether a static token has not expired at `at`, and does not begin later than clocks may differ: no gateway would
 * accept it yet.
 */
const isUsable = ({ issuedAt, expiresAt }: StaticTokenPeriod, at: Instant): boolean =>
  // `fastestClock` is computed only if needed: gateways ask this question at each call.
  at < expiresAt && (issuedAt <= at || issuedAt <= fastestClock(at));

/** Whether any access token or refresh family may have been revoked. For most clients, this is `false`. */
export const hasTokenRevocations = ({ revoked, refusedBeforeEpoch, partialEnds }: TokenLedger): boolean =>
  revoked.length > 0 || refusedBeforeEpoch > FIRST_EPOCH || partialEnds.length > 0;

/**
 * Whether the list of revoked tokens contains this id. Of a refresh family, some tokens may be refused because of their
 * epoch. The whole family is certainly refused only if its id is in the list.
 */
export const isRevokedById = (
  { revoked }: TokenLedger,
  { kind, tokenId }: Pick<RevokedToken, 'kind' | 'tokenId'>,
): boolean => revoked.some((token) => token.kind === kind && token.tokenId === tokenId);

/** Whether this token, or its whole refresh family, was revoked. For a family, `issuedAt` is the family's start. */
export const isTokenRevoked = (ledger: TokenLedger, token: IssuedToken): boolean => {
  const { kind, tokenId, issuedAt, epoch = FIRST_EPOCH } = token;
  if (kind === 'STATIC_TOKEN') return !ledger.periods.some(({ jti }) => jti === tokenId);
  return (
    isRevokedById(ledger, token) ||
    epoch < ledger.refusedBeforeEpoch ||
    ledger.partialEnds.some((end) => epoch < end.beforeEpoch && isCoveredBy(end, issuedAt))
  );
};

/** Whether the client may append another token revocation at `at`. */
export const mayRevokeToken = ({ recentRevocations }: TokenLedger, at: Instant): boolean =>
  withinLastMinute(recentRevocations, at).length < MAX_TOKEN_REVOCATIONS_PER_MINUTE;
