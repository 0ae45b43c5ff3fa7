/**
 * Returns ports on which nothing listened a moment ago. Use these ports for servers that can't choose a free port
 * themselves.
 */
export function freePorts(count: number): Promise<number[]>;

export function freePort(): Promise<number>;
