import { createHash } from 'node:crypto';
import { type ClientId, clientIdOf, consumerClient, type Instant, type WorkspaceId } from '#domain';
import type { BookOfRecord } from '#event-log';
import type { Position } from '#events';
import type { HistoryDocument, ServedReadModel, StoredDocument } from '#read-models';
import { type AssignmentAsOf, type ClientAsOf, clientInState, type CredentialAsOf } from './client-as-of.js';
import { unlessDamaged } from './damage.js';
import type { PastMoment } from './past-moment.js';
import { SharedFacts } from './shared-facts.js';

/** Number of clients that are read together. */
const PIECE = 50;
/** Behind every document that has the same position: the ids of documents begin with letters. */
const BEHIND_ALL_IDS = '~';

/** The columns of an access review, in their order. */
export const REVIEW_COLUMNS = [
  'asOf',
  'clientId',
  'name',
  'authenticationType',
  'clientStatus',
  'clientCreatedAt',
  'revokedAt',
  'revocationReason',
  'revision',
  'generation',
  'hint',
  'credentialCreatedAt',
  'credentialExpiresAt',
  'subscriptionId',
  'endpointUri',
  'serviceName',
  'assignedAt',
  'subscriptionStatus',
  'wouldLogIn',
  'reason',
] as const;

/** One client, one generation of its secret, and one of its subscriptions. What does not exist is absent. */
export type ReviewRow = Readonly<Partial<Record<(typeof REVIEW_COLUMNS)[number], string | number | boolean>>>;

export interface ReviewQuestion {
  readonly workspaceId: WorkspaceId;
  readonly moment: PastMoment;
  /** Ends the review early: its reader has gone. */
  readonly signal?: AbortSignal | undefined;
}

type Book = Pick<BookOfRecord, 'log' | 'clients' | 'subscriptions' | 'signingKeys'>;
type Histories = Pick<ServedReadModel<HistoryDocument>, 'find'>;

/**
 * Yields every client × generation × subscription of a workspace as of a past, in the order in which the clients were
 * created. A client without a good or newest generation (a revoked one), or without a subscription, has a row all the
 * same. A client whose history can't be read has one row, which says so. By position, the same question gives the same
 * rows for ever; by time too, if the moment is some seconds ago (clocks may differ so much). `histories` MUST contain
 * all creations up to then. Throws the signal's reason, `ReadStoreUnavailable`, `LogUnavailable`, `HistoryMissing`.
 */
export async function* accessReview(
  book: Book,
  histories: Histories,
  { workspaceId, moment, signal }: ReviewQuestion,
): AsyncGenerator<ReviewRow> {
  const facts = new SharedFacts(book, moment.basis);
  for (let place: string | undefined; ;) {
    signal?.throwIfAborted();
    const piece = await histories.find({
      equals: { workspaceId, type: 'ConsumerClientCreated' },
      sort: { field: 'positionKey', direction: 'asc' },
      ...(place !== undefined && { after: { value: place, id: BEHIND_ALL_IDS } }),
      limit: PIECE,
    });
    const clientIds = piece
      .filter((creation) => isWithinMoment(moment, creation))
      .flatMap(({ doc }) => clientIdOf(doc.stream) ?? []);
    for (const rows of await Promise.all(clientIds.map((clientId) => rowsOf(book, clientId, moment, facts)))) {
      yield* rows;
    }
    place = piece.at(-1)?.position;
    if (place === undefined || piece.length < PIECE || isBeyond(moment, place)) return;
  }
}

/** Whether the client was created in this past. Clients that were created later need not be read. */
const isWithinMoment = ({ basis }: PastMoment, { position, doc }: StoredDocument<HistoryDocument>): boolean =>
  basis.by === 'time' ? doc.occurredAt <= basis.at : position <= basis.position;

/** Whether all events from this place on are later than this past. Times are ordered within one stream only. */
const isBeyond = ({ basis }: PastMoment, place: Position): boolean => basis.by === 'position' && basis.position < place;

async function rowsOf(
  book: Book,
  clientId: ClientId,
  moment: PastMoment,
  facts: SharedFacts,
): Promise<Iterable<ReviewRow>> {
  const stream = consumerClient.stream(clientId);
  const { found, damage } = await unlessDamaged(book, stream, () => book.clients.asOf(clientId, moment.basis));
  if (damage === undefined) {
    const client = await clientInState(found, moment, facts);
    return client ? rowsOfClient(client, moment.at) : [];
  }
  const wasQuarantined = (await facts.quarantines()).has(stream);
  return [
    {
      ...{ asOf: moment.at, clientId, reason: wasQuarantined ? 'QUARANTINED' : damage },
      ...(wasQuarantined && { wouldLogIn: false }),
    },
  ];
}

function* rowsOfClient({ client, credentials, subscriptions, wouldLogIn }: ClientAsOf, asOf: Instant) {
  const identity: ReviewRow = {
    ...{ asOf, clientId: client.clientId, name: client.name, authenticationType: client.authenticationType },
    ...{ clientStatus: client.status, clientCreatedAt: client.createdAt },
    ...(client.revokedAt !== undefined && { revokedAt: client.revokedAt }),
    ...(client.revocationReason !== undefined && { revocationReason: client.revocationReason }),
    revision: client.revision,
  };
  for (const credential of credentials.length > 0 ? credentials : [undefined]) {
    for (const assignment of subscriptions.length > 0 ? subscriptions : [undefined]) {
      const login = credential?.wouldLogIn ?? wouldLogIn;
      const answer = login.yes === true && assignment ? assignment.wouldLogIn : login;
      yield {
        ...identity,
        ...(credential && columnsOfCredential(credential)),
        ...(assignment && columnsOfAssignment(assignment)),
        ...(answer.yes !== null && { wouldLogIn: answer.yes }),
        reason: answer.reason,
      };
    }
  }
}

const columnsOfCredential = ({ generation, hint, createdAt, expiresAt }: CredentialAsOf): ReviewRow => ({
  ...{ generation, credentialCreatedAt: createdAt },
  ...(hint !== undefined && { hint }),
  ...(expiresAt !== undefined && { credentialExpiresAt: expiresAt }),
});

const columnsOfAssignment = (assignment: AssignmentAsOf): ReviewRow => {
  const { subscriptionId, endpointUri, serviceName, assignedAt, status } = assignment;
  return { subscriptionId, endpointUri, serviceName, assignedAt, subscriptionStatus: status };
};

export type ReviewFormat = 'csv' | 'ndjson';

/** Yields the rows as text: CSV by RFC 4180 with a header line, or NDJSON with one object a line. */
export async function* reviewText(rows: AsyncIterable<ReviewRow>, format: ReviewFormat): AsyncGenerator<string> {
  const header = headerOf(format);
  if (header !== '') yield header;
  for await (const row of rows) yield lineOf(row, format);
}

const headerOf = (format: ReviewFormat): string => (format === 'csv' ? `${REVIEW_COLUMNS.join(',')}\r\n` : '');

const lineOf = (row: ReviewRow, format: ReviewFormat): string =>
  format === 'csv'
    ? `${REVIEW_COLUMNS.map((column) => csvCell(row[column])).join(',')}\r\n`
    : `${JSON.stringify(Object.fromEntries(REVIEW_COLUMNS.map((column) => [column, row[column] ?? null])))}\n`;

/**
 * Returns a cell of a CSV file. A spreadsheet would take a text that begins with one of `= + - @`, tab or CR for a
 * formula, so such a text is quoted with `'`.
 */
export function csvCell(value: string | number | boolean | undefined): string {
  const text = value === undefined ? '' : String(value);
  const harmless = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** What an access review contains, by which a file that was downloaded earlier or elsewhere can be checked. */
export interface ReviewManifest {
  /** `position`: the place in the log up to which the review looked. Absent if it looked by time. */
  readonly query: { readonly workspaceId: WorkspaceId; readonly at: Instant; readonly position?: Position };
  /** The newest signed head of the log's Merkle tree. `null` while the log has none. */
  readonly treeHead: string | null;
  readonly rows: number;
  /** Number of rows that tell little, because the history of their client or subscription can't be read. */
  readonly unreadableRows: number;
  readonly files: readonly { readonly name: string; readonly sha256: string; readonly bytes: number }[];
}

/**
 * Reads all rows, and returns the sizes and hashes of both files, with the tree head. `write` gets the text of both files,
 * piece by piece.
 */
export async function reviewManifest(
  rows: AsyncIterable<ReviewRow>,
  { workspaceId, moment: { basis, at } }: ReviewQuestion,
  treeHead: string | null,
  write: (text: string, format: ReviewFormat) => void = () => undefined,
): Promise<ReviewManifest> {
  const formats = ['csv', 'ndjson'] as const;
  const files = formats.map((format) => ({ format, hash: createHash('sha256'), bytes: 0 }));
  const add = (text: string, file: (typeof files)[number]) => {
    file.hash.update(text);
    file.bytes += Buffer.byteLength(text);
    if (text !== '') write(text, file.format);
  };
  for (const file of files) add(headerOf(file.format), file);
  let [count, unreadable] = [0, 0];
  for await (const row of rows) {
    count += 1;
    if (row.revision === undefined || row.subscriptionStatus === 'UNREADABLE') unreadable += 1;
    for (const file of files) add(lineOf(row, file.format), file);
  }
  return {
    query: { workspaceId, at, ...(basis.by === 'position' && { position: basis.position }) },
    treeHead,
    rows: count,
    unreadableRows: unreadable,
    files: files.map(({ format, hash, bytes }) => ({
      name: `access-review.${format}`,
      sha256: hash.digest('hex'),
      bytes,
    })),
  };
}
