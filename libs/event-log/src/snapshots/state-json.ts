/** In the JSON form, an object with this property stands for a value that JSON does not have. */
const TAG = '$';

/**
 * Returns a JSON value from which `decodeState` makes an equal state. The state may contain maps, sets and bigints.
 * Properties with the value `undefined` are left out. Throws `TypeError` if the state contains any other value that
 * JSON can't represent.
 */
export function encodeState(value: unknown): unknown {
  if (typeof value === 'bigint') return { [TAG]: 'bigint', value: value.toString() };
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (Array.isArray(value)) return value.map(encodeState);
  if (value instanceof Map) {
    return { [TAG]: 'Map', entries: [...value].map(([key, item]) => [encodeState(key), encodeState(item)]) };
  }
  if (value instanceof Set) return { [TAG]: 'Set', items: [...value].map(encodeState) };
  if (isPlain(value)) {
    if (TAG in value) throw new TypeError(`A state can't have a property ${TAG}`);
    const present = Object.entries(value).filter(([, item]) => item !== undefined);
    return Object.fromEntries(present.map(([name, item]) => [name, encodeState(item)]));
  }
  throw new TypeError(`A state can't contain a ${typeof value} like this`);
}

/** Returns the state from which `encodeState` made this value. Throws `TypeError` for any other value. */
export function decodeState(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(decodeState);
  if (typeof value !== 'object' || value === null) return value;
  const { [TAG]: tag, value: digits, entries, items } = value as Record<string, unknown>;
  if (tag === undefined)
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, decodeState(item)]));
  if (tag === 'bigint' && typeof digits === 'string') return BigInt(digits);
  if (tag === 'Map' && Array.isArray(entries)) return new Map(decodeState(entries) as [unknown, unknown][]);
  if (tag === 'Set' && Array.isArray(items)) return new Set(items.map(decodeState));
  throw new TypeError('Not the JSON form of a state');
}

const isPlain = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
