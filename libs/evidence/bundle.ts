import { UnreadableBundle } from './faults.js';
import { base64Bytes, textOf } from './text-forms.js';

/** A bundle: the bytes of each file by its name. */
export type BundleFiles = ReadonlyMap<string, Uint8Array>;

export const EVIDENCE_FORMAT = 'consumer-clients/evidence@v1';

export const LIMITS = {
  fileBytes: 2 * 2 ** 20,
  jsonBytes: 256 * 2 ** 20,
  /** Three for each of 1,000,000 events, and room for the others. */
  files: 3_000_100,
} as const;

/** Reads the JSON form of a bundle. Throws `UnreadableBundle`. */
export function parseBundle(json: Uint8Array): BundleFiles {
  if (json.length > LIMITS.jsonBytes) throw new UnreadableBundle('It is larger than 256 MiB: write it as a directory');
  const text = textOf(json);
  if (text === undefined) throw new UnreadableBundle('It is not UTF-8');
  let bundle: unknown;
  try {
    bundle = JSON.parse(text);
  } catch {
    throw new UnreadableBundle('It is not JSON');
  }
  if (!isObject(bundle) || bundle.format !== EVIDENCE_FORMAT || !isObject(bundle.files)) {
    throw new UnreadableBundle(`It is not of the format ${EVIDENCE_FORMAT}`);
  }
  if (Object.keys(bundle).length !== 2) throw new UnreadableBundle('It has members beside format and files');
  return checkedFiles(Object.entries(bundle.files).map(([name, content]) => [name, bytesOf(name, content)]));
}

/** Returns the files if they are within the limits. Throws `UnreadableBundle`. */
export function checkedFiles(files: Iterable<readonly [name: string, bytes: Uint8Array]>): BundleFiles {
  const checked = new Map(files);
  for (const [name, { length }] of checked) {
    if (length > LIMITS.fileBytes) throw new UnreadableBundle(`${name} is larger than 2 MiB`);
  }
  if (checked.size > LIMITS.files) throw new UnreadableBundle(`It has more than ${LIMITS.files} files`);
  return checked;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function bytesOf(name: string, content: unknown): Uint8Array {
  if (typeof content !== 'string' || !content.isWellFormed() || !name.isWellFormed()) {
    throw new UnreadableBundle(`${JSON.stringify(name)} is not a text`);
  }
  if (!name.endsWith('.leaf')) return Buffer.from(content);
  const bytes = base64Bytes(content);
  if (!bytes) throw new UnreadableBundle(`${name} is not base64`);
  return bytes;
}

/** The files of the event of one revision. `digits`: of the number in their names. */
export interface EventFileNames {
  readonly json: string;
  readonly leaf: string;
  readonly proof: string;
}

export function eventFileNames(revision: number, digits: number): EventFileNames {
  const name = `events/${String(revision).padStart(digits, '0')}`;
  return { json: `${name}.json`, leaf: `${name}.leaf`, proof: `${name}.tlog-proof` };
}
