export { NoEventLog, openEventLog, type OpenEventLogOptions } from './event-log.js';
export { LateStore, type LateStoreOptions } from './late-store.js';
export {
  type KeyedBook,
  lateBook,
  type LateBook,
  lateKeyedBook,
  type LateKeyedBook,
  lateReadStore,
  type LateReadStore,
  type StoreContext,
} from './process-stores.js';
export { openReadStore } from './read-store.js';
