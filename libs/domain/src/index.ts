export * from './consumer-client.js';
export * from './decider.js';
export * from './domain-error.js';
export * from './endpoint-uri.js';
export * from './signing-keys.js';
export * from './subscription.js';
export * from './workspace.js';
