import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

/** The type of a key, which stands before its bytes (C2SP signed-note). */
export const KEY_TYPE = {
  /** Signs the note's text. */
  ED25519: 0x01,
  /** Signs the note's text and the time at which it was seen (C2SP tlog-cosignature). */
  COSIGNATURE: 0x04,
} as const;

export type KeyType = (typeof KEY_TYPE)[keyof typeof KEY_TYPE];

/** An Ed25519 public key with the name under which it signs notes. */
export interface NoteKey {
  readonly name: string;
  readonly type: KeyType;
  /** The 32 bytes of the public key. */
  readonly publicKey: Uint8Array;
}

/** One signature line of a note. `keyId`: 4 bytes. `signature`: whatever follows them. */
export interface NoteSignature {
  readonly name: string;
  readonly keyId: Uint8Array;
  readonly signature: Uint8Array;
}

/** Returns the first 4 bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key). */
export const keyIdOf = ({ name, type, publicKey }: NoteKey): Uint8Array =>
  createHash('sha256')
    .update(`${name}\n`)
    .update(new Uint8Array([type]))
    .update(publicKey)
    .digest()
    .subarray(0, 4);

/** Returns the key as verifiers take it: `<name>+<8 hex of key id>+<base64(type ‖ public key)>`. */
export function vkeyOf(key: NoteKey): string {
  const bytes = Buffer.concat([new Uint8Array([key.type]), key.publicKey]);
  return `${key.name}+${Buffer.from(keyIdOf(key)).toString('hex')}+${bytes.toString('base64')}`;
}

/** A name has neither spaces nor plus signs, and is not empty (C2SP signed-note). */
export const isKeyName = (name: string): boolean => /^[^\s+\p{Cc}]+$/u.test(name);

/** Returns the 32 bytes of an Ed25519 key's public half. */
export const publicKeyBytes = (key: KeyObject): Uint8Array =>
  (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'der', type: 'spki' }).subarray(-32);

/** Signs a note's text, which ends with a newline, by an Ed25519 private key. */
export const signText = (name: string, privateKey: KeyObject, text: string): NoteSignature => ({
  name,
  keyId: keyIdOf({ name, type: KEY_TYPE.ED25519, publicKey: publicKeyBytes(privateKey) }),
  signature: sign(null, Buffer.from(text), privateKey),
});

/**
 * Cosigns a tree head's text: the signature says that the cosigner saw this head at `seconds` (POSIX time) and no
 * smaller one after it (C2SP tlog-cosignature, version 1).
 */
export function cosign(name: string, privateKey: KeyObject, seconds: number, text: string): NoteSignature {
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(seconds));
  const signed = sign(null, cosignedBytes(BigInt(seconds), text), privateKey);
  return {
    name,
    keyId: keyIdOf({ name, type: KEY_TYPE.COSIGNATURE, publicKey: publicKeyBytes(privateKey) }),
    signature: Buffer.concat([time, signed]),
  };
}

const cosignedBytes = (seconds: bigint, text: string): Buffer =>
  Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`);

/** Whether the line names this key, which may be by chance, as a key id has 32 bits. */
export const isOfKey = (key: NoteKey, { name, keyId }: NoteSignature): boolean =>
  name === key.name && Buffer.compare(keyId, keyIdOf(key)) === 0;

/** Whether the line is the key's signature or cosignature of the note's text. */
export function isSignatureOf(key: NoteKey, { signature }: NoteSignature, text: string): boolean {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(key.publicKey).toString('base64url') };
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
  if (key.type === KEY_TYPE.ED25519) return verify(null, Buffer.from(text), publicKey, signature);
  if (signature.length <= 8) return false;
  const bytes = Buffer.from(signature);
  return verify(null, cosignedBytes(bytes.readBigUInt64BE(), text), publicKey, bytes.subarray(8));
}

/** Returns the note: its text, an empty line, and one line for each signature. */
export const noteOf = (text: string, signatures: readonly NoteSignature[]): string =>
  `${text}\n${signatures.map(signatureLine).join('')}`;

const signatureLine = ({ name, keyId, signature }: NoteSignature): string =>
  `— ${name} ${Buffer.concat([keyId, signature]).toString('base64')}\n`;

/**
 * Takes a note apart. Returns `undefined` for a text that is no note. The signatures are not verified: a note is read
 * here to add signatures to it, and to see which there are.
 */
export function parseNote(note: string): { text: string; signatures: NoteSignature[] } | undefined {
  const end = note.lastIndexOf('\n\n');
  if (end < 0 || !note.endsWith('\n')) return undefined;
  const lines = note.slice(end + 2, -1).split('\n');
  const signatures = lines.map(parseSignatureLine);
  if (!signatures.every((signature) => signature !== undefined)) return undefined;
  return { text: note.slice(0, end + 1), signatures };
}

function parseSignatureLine(line: string): NoteSignature | undefined {
  const [, name, base64] = /^— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/u.exec(line) ?? [];
  if (name === undefined || base64 === undefined) return undefined;
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length < 5 || bytes.toString('base64') !== base64) return undefined;
  return { name, keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) };
}
