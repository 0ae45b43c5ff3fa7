/** A source of randomness: `size` bytes that no one can foretell. `node:crypto`'s `randomBytes` outside of tests. */
export type RandomBytes = (size: number) => Buffer;
