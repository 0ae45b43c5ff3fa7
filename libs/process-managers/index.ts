export { allProjections, type FedProjection } from './all-projections.js';
export type { FailedWork, ProcessManager, ProcessManagerObserver, ProcessManagerStatus } from './process-manager.js';
