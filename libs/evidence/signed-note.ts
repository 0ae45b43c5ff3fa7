import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { WrongArgument } from './faults.js';
import { base64Bytes } from './text-forms.js';

// Neither a plus, nor control characters, nor the spaces of Unicode.
const NAME = '[^\\u0000-\\u0020+\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+';
const KEY_NAME = new RegExp(`^${NAME}$`, 'u');
const SIGNATURE_LINE = new RegExp(`^— (${NAME}) ([A-Za-z0-9+/]+={0,2})$`, 'u');
const VKEY = new RegExp(`^(${NAME})\\+([0-9a-f]{8})\\+([A-Za-z0-9+/]+={0,2})$`, 'u');

const MAX_SIGNATURES = 100;
const ED25519_BYTES = 64;
const TIME_BYTES = 8;

export const isKeyName = (text: string): boolean => KEY_NAME.test(text);

/** `LOG` signs tree heads and statements (type 0x01), `COSIGNER` heads that it saw, with the time (type 0x04). */
export type KeyRole = 'LOG' | 'COSIGNER';

/** A public key that the caller trusts. */
export interface TrustedKey {
  readonly vkey: string;
  readonly name: string;
  readonly role: KeyRole;
  /** 8 hex digits. */
  readonly keyId: string;
  readonly publicKey: KeyObject;
  /** The public key's 32 bytes in hex: two keys are the same if these are. */
  readonly publicKeyHex: string;
}

const ROLES: Readonly<Record<number, KeyRole>> = { 1: 'LOG', 4: 'COSIGNER' };

/** Reads a key: `<name>+<key id>+<base64(type ‖ public key)>`. Throws `WrongArgument`. */
export function trustedKey(vkey: string): TrustedKey {
  const [, name, keyId, encoded = ''] = VKEY.exec(vkey) ?? [];
  const bytes = base64Bytes(encoded);
  if (name === undefined || keyId === undefined || bytes?.length !== 33) {
    throw new WrongArgument(`This is not a key: ${JSON.stringify(vkey)}`);
  }
  const role = ROLES[bytes[0] ?? 0];
  if (!role) throw new WrongArgument(`The key of ${name} is neither a log's (type 1) nor a cosigner's (type 4)`);
  const digest = createHash('sha256').update(`${name}\n`).update(bytes).digest('hex');
  if (digest.slice(0, 8) !== keyId) throw new WrongArgument(`The key id of ${name} is not that of its key`);
  const raw = Buffer.from(bytes.subarray(1));
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') };
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
  return { vkey, name, role, keyId, publicKey, publicKeyHex: raw.toString('hex') };
}

/** One signature line. `keyId`: 8 hex digits. `signature`: what follows the key id, at least one byte. */
export interface SignatureLine {
  readonly name: string;
  readonly keyId: string;
  readonly signature: Uint8Array;
}

/** `text` ends with a newline. No signature has been verified. */
export interface SignedNote {
  readonly text: string;
  readonly signatures: readonly SignatureLine[];
}

/** Takes a signed note (C2SP) apart. Returns `undefined` for a text that is no note. */
export function parseNote(note: string): SignedNote | undefined {
  // eslint-disable-next-line no-control-regex -- a note must not have them
  if (/[\u0000-\u0009\u000b-\u001f]/.test(note)) return undefined;
  const end = note.lastIndexOf('\n\n');
  if (end < 0 || !note.endsWith('\n')) return undefined;
  const lines = note.slice(end + 2, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) return undefined;
  const signatures: SignatureLine[] = [];
  for (const line of lines) {
    const [, name, encoded = ''] = SIGNATURE_LINE.exec(line) ?? [];
    const bytes = base64Bytes(encoded);
    if (name === undefined || !bytes || bytes.length < 5) return undefined;
    signatures.push({ name, keyId: Buffer.from(bytes.subarray(0, 4)).toString('hex'), signature: bytes.subarray(4) });
  }
  return { text: note.slice(0, end + 1), signatures };
}

/** Returns the lines of the note that belong to the key, by its name and id. Other lines are to be ignored. */
export const linesOf = (note: SignedNote, key: TrustedKey): SignatureLine[] =>
  note.signatures.filter(({ name, keyId }) => name === key.name && keyId === key.keyId);

/** Whether the signature is the log's over the text. */
export const isSigned = ({ signature }: SignatureLine, text: string, { publicKey }: TrustedKey): boolean =>
  signature.length === ED25519_BYTES && verify(null, Buffer.from(text), publicKey, signature);

/**
 * Returns the time, in POSIX seconds, at which the cosigner saw the text. Returns `undefined` if the signature is not
 * the cosigner's.
 */
export function cosignedAt({ signature }: SignatureLine, text: string, { publicKey }: TrustedKey): number | undefined {
  if (signature.length !== TIME_BYTES + ED25519_BYTES) return undefined;
  const seconds = Number(Buffer.from(signature.subarray(0, TIME_BYTES)).readBigUInt64BE());
  if (!Number.isSafeInteger(seconds)) return undefined;
  const message = Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`);
  return verify(null, message, publicKey, signature.subarray(TIME_BYTES)) ? seconds : undefined;
}
