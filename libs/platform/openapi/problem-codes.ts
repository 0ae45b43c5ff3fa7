import { Problem, type ProblemDetails } from '../problem.js';

/** How the OpenAPI document describes one `code` of a problem (RFC 9457). */
interface DescribedCode {
  readonly status: number;
  /** What has happened, and what the caller can do. */
  readonly meaning: string;
  /** A `detail` that is sent with this code. Some codes have more than one. */
  readonly detail: string;
  /** The field that the example names, if problems with this code name fields. */
  readonly field?: string;
  /** Whether some problems with this code have `Retry-After`, although other problems of their status never do. */
  readonly mayHaveRetryAfter?: true;
}

/**
 * Every `code` that a problem can have, with its status. A code is never renamed and never changes its meaning.
 * test/architecture/problem-codes.spec.ts compares this table with the code: each code that is thrown is here, each
 * code that is here is thrown, and the statuses and details are the same.
 */
export const PROBLEM_CODES = {
  VALIDATION_FAILED: {
    status: 400,
    meaning: 'Fields, parameters or headers have wrong values; `errors` names each one.',
    detail: 'The request is not valid; see errors',
    field: 'name',
  },
  MALFORMED_JSON: { status: 400, meaning: 'The body can’t be parsed.', detail: 'The body is not JSON in UTF-8' },
  MALFORMED_REQUEST: { status: 400, meaning: 'The request breaks HTTP itself.', detail: 'The request is malformed' },
  HEADER_REPEATED: {
    status: 400,
    meaning: 'A header that must be given once was given twice.',
    detail: 'The header Authorization must not be given twice',
    field: 'Authorization',
  },
  INVALID_NAME: {
    status: 400,
    meaning: 'The name breaks a rule of its content; `detail` says which.',
    detail: 'name must have 1 to 100 characters',
    field: 'name',
  },
  INVALID_REASON: {
    status: 400,
    meaning: 'The reason breaks a rule of its content; `detail` says which.',
    detail: 'reason must have 1 to 500 characters',
    field: 'reason',
  },
  INVALID_SERVICE_NAME: {
    status: 400,
    meaning: 'The service name breaks a rule of its content; `detail` says which.',
    detail: 'serviceName must have 1 to 100 characters',
    field: 'serviceName',
  },
  INVALID_SUBSCRIPTION_ID: {
    status: 400,
    meaning: 'The id of a new subscription has a wrong form.',
    detail: 'subscriptionId must match [A-Za-z0-9_-]{1,64}',
    field: 'subscriptionId',
  },
  INVALID_ENDPOINT_URI: {
    status: 400,
    meaning: 'The endpoint URI has a wrong form, or is reserved for the service’s own paths.',
    detail: 'endpointUri must match [a-z0-9][a-z0-9-]{2,62}',
    field: 'endpointUri',
  },
  INVALID_OVERLAP: {
    status: 400,
    meaning: 'The overlap is too long.',
    detail: 'overlapSeconds must be 0 to 604800',
    field: 'overlapSeconds',
  },
  INVALID_DESCRIPTION: {
    status: 400,
    meaning: 'The description breaks a rule of its content; `detail` says which.',
    detail: 'description must have 1 to 500 characters',
    field: 'description',
  },
  INVALID_LABELS: {
    status: 400,
    meaning: 'A label breaks a rule, or there are too many; `detail` says which.',
    detail: 'A client has at most 16 labels',
    field: 'labels',
  },
  INVALID_EXTERNAL_ID: {
    status: 400,
    meaning: 'The external id has a wrong form.',
    detail: 'externalId must have 1 to 128 visible ASCII characters',
    field: 'externalId',
  },
  INVALID_EXPIRY: {
    status: 400,
    meaning: 'The expiry of the credential is in the past or too far away.',
    detail: 'expiresAt must be in the future, and at most ten years away',
    field: 'expiresAt',
  },
  INVALID_SUBSCRIPTIONS: {
    status: 400,
    meaning: 'A client can’t be created with so many subscriptions.',
    detail: 'A new client is assigned to at most 50 subscriptions',
    field: 'subscriptions',
  },
  INVALID_CURSOR: {
    status: 400,
    meaning: 'The cursor is of another list, of other filters, or damaged. Begin with the first page.',
    detail: 'This cursor does not belong to this list',
    field: 'cursor',
  },
  IN_THE_FUTURE: {
    status: 400,
    meaning: 'The time is after now, or the revision or position beyond the end.',
    detail: 'This has not happened yet',
    field: 'at',
  },
  INVALID_RANGE: {
    status: 400,
    meaning: 'The range ends before it begins.',
    detail: 'from must not be after to',
    field: 'from',
  },
  RANGE_TOO_LONG: {
    status: 400,
    meaning: 'The events of so many days can’t be found at once.',
    detail: 'from and to must be at most 366 days apart',
    field: 'from',
  },
  FOREIGN_CONSISTENCY_TOKEN: {
    status: 400,
    meaning: 'The consistency token was made by another installation. Send the query without it.',
    detail: 'This consistency token was made by another log',
    field: 'X-Consistency-Token',
  },
  DRAFT_INVALID: {
    status: 400,
    meaning: 'The draft is damaged, or was made for another caller, client, type or command.',
    detail: 'This draft was made for another command',
  },
  DRAFT_EXPIRED: { status: 400, meaning: 'The draft is too old. Mint a new one.', detail: 'This draft has expired' },
  UNAUTHENTICATED: {
    status: 401,
    meaning: 'There is no bearer token, or it is not good.',
    detail: 'A bearer token is needed',
  },
  INSUFFICIENT_SCOPE: {
    status: 403,
    meaning: 'The token lacks the scope of this route, or may not act for this workspace.',
    detail: 'This needs the scope clients:write',
  },
  FORBIDDEN: { status: 403, meaning: 'This is not allowed.', detail: 'This is not allowed' },
  NOT_FOUND: { status: 404, meaning: 'No route has this path.', detail: 'There is no such route' },
  CLIENT_NOT_FOUND: {
    status: 404,
    meaning: 'The workspace has no such client. A client of another workspace counts as missing.',
    detail: 'No such client',
  },
  NOT_YET: {
    status: 404,
    meaning: 'The client exists, but did not exist yet at the time or place in question.',
    detail: 'This client did not exist yet',
  },
  SUBSCRIPTION_NOT_FOUND: {
    status: 404,
    meaning: 'The workspace has no such subscription. One of another workspace counts as missing.',
    detail: 'No such subscription',
  },
  GENERATION_NOT_FOUND: {
    status: 404,
    meaning: 'The client never had a credential of this generation.',
    detail: 'This client never had such a generation',
    field: 'generation',
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    meaning: 'The path has no such method; `Allow` names those that it has.',
    detail: 'This takes only GET, HEAD',
  },
  REQUEST_TIMEOUT: {
    status: 408,
    meaning: 'The request took too long to arrive. The connection is closed.',
    detail: 'The request took too long to arrive',
  },
  CLIENT_EXISTS: { status: 409, meaning: 'The client exists already.', detail: 'This client exists already' },
  CLIENT_REVOKED: { status: 409, meaning: 'The client is revoked, for ever.', detail: 'This client is revoked' },
  DRAFT_STALE: {
    status: 409,
    meaning: 'The draft was used already, or another rotation came first. Mint a new one.',
    detail: 'This draft was used already',
    field: 'draft',
  },
  WRONG_AUTHENTICATION_TYPE: {
    status: 409,
    meaning: 'The client has the other authentication type.',
    detail: 'This client is of another type',
    field: 'authenticationType',
  },
  GENERATION_IS_NEWEST: {
    status: 409,
    meaning: 'The newest credential can’t be retired. Rotate the secret, or revoke the client.',
    detail: 'The newest generation is rotated, not retired',
    field: 'generation',
  },
  SUBSCRIPTION_ENDED: {
    status: 409,
    meaning: 'The subscription has ended, for ever.',
    detail: 'This subscription has ended',
  },
  SUBSCRIPTION_EXISTS: {
    status: 409,
    meaning: 'The subscription is registered with other values, or has ended.',
    detail: 'This subscription is registered with other values',
  },
  TOO_MANY_SUBSCRIPTIONS: {
    status: 409,
    meaning: 'The client has as many subscriptions as a client can have.',
    detail: 'A client has at most 1000 subscriptions',
  },
  EXTERNAL_ID_TAKEN: {
    status: 409,
    meaning:
      'Another active client of the workspace has this external id; or, with `Retry-After`, has claimed it less than ' +
      'a minute ago and does not have it (yet, or any more).',
    detail: 'Another active client has this external id',
    field: 'externalId',
    mayHaveRetryAfter: true,
  },
  ENDPOINT_URI_TAKEN: {
    status: 409,
    meaning: 'The endpoint URI belongs to another subscription of the marketplace, for ever.',
    detail: 'This endpoint URI is taken',
    field: 'endpointUri',
  },
  UPGRADE_UNFINISHED: {
    status: 409,
    meaning: 'Processes of the release before still run, which could not read the event.',
    detail: 'This becomes possible when the upgrade of the service is finished (EVENT_VERSIONS=previous)',
    field: 'expiresAt',
  },
  QUARANTINED: {
    status: 409,
    meaning: 'An operator has quarantined it, because its history is damaged.',
    detail: 'This is quarantined, because its history is damaged; only an operator can lift that',
  },
  PRECONDITION_FAILED: {
    status: 412,
    meaning: '`If-Match` names another revision than the present one. Read the resource again.',
    detail: 'It has changed: read it again (If-Match)',
  },
  BODY_TOO_LARGE: { status: 413, meaning: 'The body has more than 65,536 bytes.', detail: 'The body is too large' },
  EVENT_TOO_LARGE: {
    status: 413,
    meaning: 'The event that this would record is too large.',
    detail: 'This is too large to be recorded',
  },
  URI_TOO_LONG: {
    status: 414,
    meaning: 'A segment of the path has more than 200 characters.',
    detail: 'A part of the path is too long',
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    meaning: 'The body is not JSON, is compressed, or has another charset than UTF-8.',
    detail: 'The body must be application/json',
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    meaning: 'The `Idempotency-Key` was used for another request.',
    detail: 'This Idempotency-Key was used for another request',
  },
  RATE_LIMITED: {
    status: 429,
    meaning: 'This subject has sent too many requests. Wait as long as `Retry-After` says.',
    detail: 'More than 60000 requests; wait 12 s',
  },
  HEADERS_TOO_LARGE: {
    status: 431,
    meaning: 'The headers have more than 65,536 bytes. The connection is closed.',
    detail: 'The headers are too large',
  },
  REFUSED: {
    status: 400,
    meaning: 'The request was refused before a route saw it; sent with any other 4xx status.',
    detail: 'The request was refused',
  },
  INTERNAL: {
    status: 500,
    meaning: 'A fault of the service; its log has the cause under the `requestId`.',
    detail: 'Something went wrong on our side',
  },
  BUSY: {
    status: 503,
    meaning: 'Too many secrets are being hashed, or access reviews or evidence written. Try again.',
    detail: 'Too many credentials are in the making; try again',
  },
  NOT_YET_IN_HEAD: {
    status: 409,
    meaning:
      'The last signed head of the tree does not cover the latest events of the client. Wait for the next one, as ' +
      'long as `Retry-After` says at most, or force one.',
    detail: 'The last signed head does not cover the latest events yet. Wait for the next one, or force one',
  },
  EVIDENCE_TOO_LARGE: {
    status: 413,
    meaning: 'The client has more than 10,000 events. Make its evidence with the command line.',
    detail: 'This client has more events than one bundle of evidence may have',
  },
  NO_TREE_HEAD: {
    status: 404,
    meaning: 'The tree over the log has no signed head yet: the first one comes within a minute, or is forced.',
    detail: 'The tree over the log has no signed head yet',
  },
  NO_SUCH_TILE: {
    status: 404,
    meaning: 'The path names no tile, or one that the tree of the last head does not reach.',
    detail: 'The tree of the last head has no such tile',
  },
  UNKNOWN_POSITION: {
    status: 410,
    meaning:
      'The event log has no event at this position: it is of another log, or the log was restored to an older state. ' +
      'Read the feed again from its start, or from the last event that both have.',
    detail: 'The event log has no event at this position',
  },
  TOO_MANY_EVENT_STREAMS: {
    status: 429,
    meaning: 'The caller has as many open event streams at this process as it may have. Close one first.',
    detail: 'This caller has too many open event streams; close one first',
  },
  TREE_HEADS_REFUSED: {
    status: 503,
    meaning: 'The log does not extend its last signed head, or was restored to an older state. An operator has to act.',
    detail: 'No head is signed until an operator has looked at the log',
  },
  CONTENTION: {
    status: 503,
    meaning: 'Others change the same client or subscription all the time. Try again.',
    detail: 'Others change the same; try again',
  },
  CLOCKS_APART: {
    status: 503,
    meaning: 'The clock of this node is wrong. Try again; another node may answer.',
    detail: "This node's clock and the event log's differ too much; try again elsewhere or later",
  },
  HISTORY_DAMAGED: {
    status: 503,
    meaning: 'The history contains an event of another application. An operator has to act.',
    detail: 'The history of this is damaged',
  },
  HISTORY_MISSING: {
    status: 503,
    meaning: 'The event log has lost events. An operator has to act.',
    detail: 'Events are missing from the event log; an operator must act',
  },
  LOG_RESTORED: {
    status: 503,
    meaning: 'The event log was restored to an older state. An operator has to adopt it.',
    detail: 'The event log was restored to an older state; an operator must adopt it',
  },
  LOG_SEALED: {
    status: 503,
    meaning: 'The event log is being moved to another store. Nothing was written.',
    detail: 'The event log is being moved, or was',
  },
  LOG_UNAVAILABLE: {
    status: 503,
    meaning: 'The event log does not answer. Send the request again, with the same `Idempotency-Key`.',
    detail: 'The event log does not answer; try again',
  },
  MANAGEMENT_ISSUER_UNAVAILABLE: {
    status: 503,
    meaning: 'The keys of the issuer of management tokens can’t be fetched.',
    detail: "The issuer's keys can not be fetched; try again",
  },
  READ_MODEL_BEHIND: {
    status: 503,
    meaning: 'The read model has not come as far as the consistency token within 2 s. Try again.',
    detail: 'The read models have not come as far as the token; try again',
  },
  READ_MODEL_NOT_READY: {
    status: 503,
    meaning: 'The read model is being built.',
    detail: 'This list is being built; try again',
  },
  READ_MODEL_REBUILD_NEEDED: {
    status: 503,
    meaning: 'The read model is of another event log. An operator has to rebuild it.',
    detail: 'This list is of another log and must be rebuilt',
  },
  READ_STORE_UNAVAILABLE: {
    status: 503,
    meaning: 'The store of the read models does not answer. Commands and logins go on.',
    detail: 'The read models do not answer; try again',
  },
  SIGNING_KEY_UNUSABLE: {
    status: 503,
    meaning: 'The signing keys are being changed. Try again.',
    detail: 'The signing keys are changing; try again',
  },
} as const satisfies Readonly<Record<string, DescribedCode>>;

export type ProblemCode = keyof typeof PROBLEM_CODES;

const REQUEST_ID = '2f1c8e0a-7d0f-4b57-9c11-0f6d3d1f6a11';

/** An example of the body of a problem with this code. */
export function exampleProblem(code: ProblemCode): ProblemDetails {
  const { status, detail, field }: DescribedCode = PROBLEM_CODES[code];
  const message = code === 'VALIDATION_FAILED' ? 'name must be a string' : detail;
  return new Problem(status, code, detail, field === undefined ? {} : { errors: [{ field, message }] }).toBody(
    REQUEST_ID,
  );
}

/** The table of all codes, in Markdown, sorted by status and code. */
export const problemCodeTable = (): string =>
  [
    '| status | `code` | meaning |',
    '|---|---|---|',
    ...Object.entries<DescribedCode>(PROBLEM_CODES)
      .sort(([one, { status: first }], [other, { status: second }]) => first - second || one.localeCompare(other))
      .map(([code, { status, meaning }]) => `| ${status} | \`${code}\` | ${meaning} |`),
  ].join('\n');
