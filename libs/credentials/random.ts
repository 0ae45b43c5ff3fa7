/** Returns `size` unpredictable bytes. Only tests use another function than `randomBytes` of `node:crypto`. */
export type RandomBytes = (size: number) => Buffer;
