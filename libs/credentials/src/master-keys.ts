import { hkdfSync } from 'node:crypto';

/** What a derived key is for: each purpose has an HKDF label of its own, so no key serves two. */
export type MasterKeyPurpose =
  'secret-check' | 'pepper' | 'draft' | 'key-wrapping' | 'key-check' | 'bootstrap-issuer' | 'refresh-token';

const KEY_BYTES = 32;
const ID_BYTES = 8;

/** A master key that can't be one; the message says which and why, and nothing of the key. */
export class MasterKeyInvalid extends Error {
  override readonly name = 'MasterKeyInvalid';
}

/** Something names a master key that this process doesn't have: it is missing in `MASTER_KEY_PREVIOUS`. */
export class MasterKeyUnknown extends Error {
  override readonly name = 'MasterKeyUnknown';

  constructor(readonly masterKeyId: string) {
    super(`MASTER_KEY and MASTER_KEY_PREVIOUS hold no key with the id ${masterKeyId}`);
  }
}

/**
 * The master keys of this process. The current one creates; it and the previous ones verify, open and unwrap. Keys
 * for use come out of `derive` only (HKDF-SHA-256, RFC 5869), and no master key can be read back or printed.
 */
export class MasterKeys {
  /** By id, the current one first. */
  readonly #keys: ReadonlyMap<string, Buffer>;
  readonly #derived = new Map<string, Buffer>();

  /** The public id of the key that creates: 8 bytes in hex. */
  readonly currentId: string;

  private constructor(current: Buffer, previous: readonly Buffer[]) {
    this.currentId = idOf(current);
    this.#keys = new Map([current, ...previous].map((key) => [idOf(key), key]));
  }

  /** Throws `MasterKeyInvalid` for a key that hasn't 32 bytes. */
  static from({ current, previous = [] }: { current: Buffer; previous?: readonly Buffer[] }): MasterKeys {
    const keys = previous.map((key, index) => checked(key, `MASTER_KEY_PREVIOUS, key ${index + 1}`));
    return new MasterKeys(checked(current, 'MASTER_KEY'), keys);
  }

  /** Each key is 32 bytes in padded base64 (RFC 4648 §4), white space around it ignored. Throws `MasterKeyInvalid`. */
  static parse(current: string, previous: readonly string[] = []): MasterKeys {
    return MasterKeys.from({
      current: decoded(current, 'MASTER_KEY'),
      previous: previous.map((key, index) => decoded(key, `MASTER_KEY_PREVIOUS, key ${index + 1}`)),
    });
  }

  /** The public ids of all keys, the current one first. */
  get ids(): string[] {
    return [...this.#keys.keys()];
  }

  /** The 32-byte key for one purpose. Throws `MasterKeyUnknown`. */
  derive(purpose: MasterKeyPurpose, id = this.currentId): Buffer {
    const name = `${id}/${purpose}`;
    const known = this.#derived.get(name);
    if (known) return known;
    const masterKey = this.#keys.get(id);
    if (!masterKey) throw new MasterKeyUnknown(id);
    const key = expand(masterKey, purpose, KEY_BYTES);
    this.#derived.set(name, key);
    return key;
  }

  /** 64 hex digits that only a holder of the key can tell, and that tell nothing of it. Throws `MasterKeyUnknown`. */
  checkValue(id = this.currentId): string {
    return this.derive('key-check', id).toString('hex');
  }
}

const idOf = (key: Buffer) => expand(key, 'id', ID_BYTES).toString('hex');

const expand = (key: Buffer, label: MasterKeyPurpose | 'id', bytes: number): Buffer =>
  Buffer.from(hkdfSync('sha256', key, '', `consumer-clients/${label}`, bytes));

const checked = (key: Buffer, source: string): Buffer => {
  if (key.length !== KEY_BYTES) throw new MasterKeyInvalid(`${source} must have 32 bytes, it has ${key.length}`);
  return Buffer.from(key);
};

const decoded = (text: string, source: string): Buffer => {
  const trimmed = text.trim();
  const key = Buffer.from(trimmed, 'base64');
  if (key.toString('base64') !== trimmed) {
    throw new MasterKeyInvalid(`${source} must be 32 bytes in base64; it isn't base64 with its padding`);
  }
  return key;
};
