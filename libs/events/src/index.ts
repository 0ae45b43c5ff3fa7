export * from './canonical-json.js';
export * from './envelope.js';
export * from './errors.js';
export * from './hash-chain.js';
export * from './log-created.js';
export * from './log-seal.js';
export * from './registry.js';
export * from './usage-recorded.js';
