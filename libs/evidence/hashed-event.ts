import { textOf } from './text-forms.js';

/** What the verification needs of an event. */
export interface HashedEvent {
  readonly stream: string;
  readonly revision: string;
  readonly type: string;
  /** Hex. */
  readonly previousHash: string;
  readonly occurredAt: string;
}

const MEMBERS = 'data,eventId,metadata,revision,stream,type';
const MAX_DEPTH = 64;

/**
 * Reads the bytes that an event's hash is made of. Returns `undefined` unless they are the RFC 8785 form of an event.
 * So what a reader of the JSON sees is what was hashed: no name stands there twice.
 */
export function parseHashedEvent(bytes: Uint8Array): HashedEvent | undefined {
  const text = textOf(bytes);
  const value = text === undefined ? undefined : parsedCanonical(text);
  if (!isObject(value) || Object.keys(value).join(',') !== MEMBERS) return undefined;
  const { data, eventId, metadata, revision, stream, type } = value;
  if (!isObject(data) || typeof eventId !== 'string' || !isObject(metadata)) return undefined;
  if (typeof revision !== 'string' || typeof stream !== 'string' || typeof type !== 'string') return undefined;
  const { previousHash, occurredAt } = metadata;
  if (typeof previousHash !== 'string' || !/^[0-9a-f]{64}$/.test(previousHash)) return undefined;
  if (typeof occurredAt !== 'string' || Object.hasOwn(metadata, 'hash')) return undefined;
  return { stream, revision, type, previousHash, occurredAt };
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parsedCanonical(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return canonical(value, 1) === text ? value : undefined;
}

/** Writes the value by RFC 8785. Returns `undefined` for a value that none of our events has. */
function canonical(value: unknown, depth: number): string | undefined {
  if (typeof value === 'string') return value.isWellFormed() ? JSON.stringify(value) : undefined;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : undefined;
  if (typeof value !== 'object' || value === null) return String(value);
  if (depth > MAX_DEPTH) return undefined;
  const parts = Array.isArray(value)
    ? value.map((item) => canonical(item, depth + 1))
    : Object.entries(value)
        // Texts are compared by UTF-16 code units, as RFC 8785 sorts them.
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([name, member]) => {
          const written = canonical(member, depth + 1);
          return written !== undefined && name.isWellFormed() ? `${JSON.stringify(name)}:${written}` : undefined;
        });
  if (parts.includes(undefined)) return undefined;
  return Array.isArray(value) ? `[${parts.join(',')}]` : `{${parts.join(',')}}`;
}
