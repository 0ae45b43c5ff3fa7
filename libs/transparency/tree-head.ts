import { HASH_BYTES } from './merkle-hash.js';

/** The size of the tree over the log and its root: what the log's key signs. */
export interface TreeHead {
  /** `<host>/<log id>`: names the log. It is also the name of the log's key. */
  readonly origin: string;
  /** The number of leaves. */
  readonly size: number;
  readonly root: Uint8Array;
}

/** Returns the text to be signed: origin, size and root, a line each (C2SP tlog-checkpoint, without extensions). */
export const treeHeadText = ({ origin, size, root }: TreeHead): string =>
  `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`;

/** Reads what `treeHeadText` wrote. Returns `undefined` for every other text, also for one with extension lines. */
export function parseTreeHeadText(text: string): TreeHead | undefined {
  const [, origin, size, base64] = /^([^\s+]+)\n(0|[1-9]\d*)\n([A-Za-z0-9+/]+={0,2})\n$/u.exec(text) ?? [];
  if (origin === undefined || base64 === undefined) return undefined;
  const head = { origin, size: Number(size), root: Buffer.from(base64, 'base64') };
  if (!Number.isSafeInteger(head.size) || head.root.length !== HASH_BYTES) return undefined;
  return treeHeadText(head) === text ? head : undefined;
}
