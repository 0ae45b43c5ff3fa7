/** Returns the proof that leaf `index` is in the tree of `head`, a signed tree head (C2SP tlog-proof). */
export const tlogProof = (index: number, proof: readonly Uint8Array[], head: string): string =>
  `c2sp.org/tlog-proof@v1\nindex ${index}\n${hashLines(proof)}\n${head}`;

/**
 * Returns the proof that the tree of `head`, a signed tree head, extends the tree of `oldSize` leaves. It is the body
 * of a call to a witness (C2SP tlog-witness, `add-checkpoint`).
 */
export const consistencyBody = (oldSize: number, proof: readonly Uint8Array[], head: string): string =>
  `old ${oldSize}\n${hashLines(proof)}\n${head}`;

const hashLines = (hashes: readonly Uint8Array[]): string =>
  hashes.map((hash) => `${Buffer.from(hash).toString('base64')}\n`).join('');
