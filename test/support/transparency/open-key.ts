import { createPrivateKey, type KeyObject } from 'node:crypto';

/** Returns an Ed25519 private key that is no secret: its seed is 32 times the same byte. */
export const openKey = (byte: number): KeyObject =>
  createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, byte)]),
    format: 'der',
    type: 'pkcs8',
  });
