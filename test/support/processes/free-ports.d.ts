/**
 * Returns ports on which nothing listened a moment ago. Use these ports for servers that can't choose a free port
 * themselves. The ports are outside the range of outgoing connections, so a server that is down for a while keeps its
 * port.
 */
export function freePorts(count: number): Promise<number[]>;

export function freePort(): Promise<number>;
