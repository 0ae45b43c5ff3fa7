/**
 * Returns a hash of the text, from 0 to 2^32 - 1, evenly distributed: FNV-1a with the final mixing of MurmurHash3. The
 * hash is cheap, because every event of the log may need one. It protects against nothing.
 */
export function idHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
