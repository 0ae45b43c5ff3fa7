export { openEventLog } from './event-log.js';
export { givenMasterKeys, masterKeyPath, ownSecret, standaloneMasterKey } from './master-keys.js';
export { PendingStore } from './pending-store.js';
export { type KeyedBook, pendingBook, type PendingKeyedBook, pendingKeyedBook } from './process-books.js';
export { type PendingBook, type PendingReadStore, pendingReadStore } from './process-stores.js';
export { openReadStore } from './read-store.js';
export { refusedUrl } from './refused-url.js';
export { warnOfFiles } from './store-place.js';
