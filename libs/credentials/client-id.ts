import { createHash, randomBytes } from 'node:crypto';
import type { ClientId } from '#domain';
import { base62 } from './base62.js';
import type { RandomBytes } from './random.js';

const BYTES = 16;

/** Returns a new client's id: `cc_` and 128 random bits as 22 base62 digits. */
export const newClientId = (random: RandomBytes = randomBytes): ClientId => clientIdOf(random(BYTES));

/** Returns the id of the client that this command creates. If the command is repeated, the id is the same. */
export const clientIdOfCommand = (commandId: string): ClientId =>
  clientIdOf(createHash('sha256').update(`client-id:${commandId}`).digest().subarray(0, BYTES));

const clientIdOf = (bytes: Buffer): ClientId => `cc_${base62(bytes, 22)}`;
