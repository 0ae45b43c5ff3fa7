import { hkdfSync } from 'node:crypto';

/** What a derived key is used for. Each purpose has its own HKDF label, so no key serves two purposes. */
export type MasterKeyPurpose =
  'secret-check' | 'pepper' | 'draft' | 'key-wrapping' | 'key-check' | 'bootstrap-issuer' | 'refresh-token';

const KEY_BYTES = 32;
const ID_BYTES = 8;

/**
 * A text is not a valid master key. The message tells which setting the text came from and what is wrong, but nothing
 * of the text's content.
 */
export class MasterKeyInvalid extends Error {
  override readonly name = 'MasterKeyInvalid';
}

/**
 * A stored value needs a master key that this process doesn't have. The operator has to add the key to
 * `MASTER_KEY_PREVIOUS`.
 */
export class MasterKeyUnknown extends Error {
  override readonly name = 'MasterKeyUnknown';

  constructor(readonly masterKeyId: string) {
    super(`MASTER_KEY and MASTER_KEY_PREVIOUS hold no key with the id ${masterKeyId}`);
  }
}

/**
 * The master keys of this process. The current master key makes new material. The current and the previous master keys
 * verify, decrypt and unwrap existing material. Master keys are never used directly: `derive` returns a key for each
 * purpose (HKDF-SHA-256, RFC 5869). No master key can be read back or printed.
 */
export class MasterKeys {
  /** The master keys by their ids. The current master key is the first. */
  readonly #keys: ReadonlyMap<string, Buffer>;
  readonly #derived = new Map<string, Buffer>();

  /** The public id of the current master key: 8 bytes in hex. */
  readonly currentId: string;

  private constructor(current: Buffer, previous: readonly Buffer[]) {
    this.currentId = idOf(current);
    this.#keys = new Map([current, ...previous].map((key) => [idOf(key), key]));
  }

  /** Makes the key ring from raw keys. Throws `MasterKeyInvalid` if a key is not 32 bytes long. */
  static from({ current, previous = [] }: { current: Buffer; previous?: readonly Buffer[] }): MasterKeys {
    const keys = previous.map((key, index) => checked(key, `MASTER_KEY_PREVIOUS, key ${index + 1}`));
    return new MasterKeys(checked(current, 'MASTER_KEY'), keys);
  }

  /**
   * Reads each master key from a text: 32 bytes in padded base64 (RFC 4648 §4). White space around the text is ignored.
   * Throws `MasterKeyInvalid`.
   */
  static parse(current: string, previous: readonly string[] = []): MasterKeys {
    return MasterKeys.from({
      current: decoded(current, 'MASTER_KEY'),
      previous: previous.map((key, index) => decoded(key, `MASTER_KEY_PREVIOUS, key ${index + 1}`)),
    });
  }

  /** The public ids of all master keys. The current master key's id is the first. */
  get ids(): string[] {
    return [...this.#keys.keys()];
  }

  /** Returns the 32-byte key for one purpose, derived from the master key with this id. Throws `MasterKeyUnknown`. */
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

  /**
   * Returns 64 hex digits that only a holder of the master key can compute. The digits reveal nothing of the master
   * key. Throws `MasterKeyUnknown`.
   */
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
