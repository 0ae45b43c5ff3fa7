export * from './append-checks.js';
export * from './book-of-record.js';
export * from './command-executor.js';
export * from './consistency-token.js';
export * from './errors.js';
export * from './log-id.js';
export * from './port.js';
export * from './turns.js';
