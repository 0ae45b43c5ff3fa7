export { openEventLog } from './event-log.js';
export { givenMasterKeys, masterKeyPath, standaloneMasterKey } from './master-keys.js';
export { PendingStore } from './pending-store.js';
export {
  type KeyedBook,
  type PendingBook,
  pendingBook,
  type PendingKeyedBook,
  pendingKeyedBook,
  type PendingReadStore,
  pendingReadStore,
} from './process-stores.js';
export { openReadStore } from './read-store.js';
