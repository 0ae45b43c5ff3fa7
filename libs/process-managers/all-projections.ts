import { type Projection, readModels, tree } from '#read-models';
import { assignments } from './assignments.js';
import type { ProcessManager, ProcessManagerDependencies } from './process-manager.js';
import { SubscriptionEnds } from './subscription-ends.js';

/** A projection, and the process manager that works on its documents. */
export interface FedProjection {
  readonly projection: Projection;
  /** Makes the process manager. Read models have none, because read models are only queried. */
  readonly manager?: (dependencies: ProcessManagerDependencies) => ProcessManager;
}

/**
 * Every projection of this application: first the read models, then the models that only process managers use, and the
 * tree.
 */
export const allProjections: readonly FedProjection[] = [
  ...readModels.map((projection) => ({ projection })),
  { projection: assignments, manager: (dependencies) => new SubscriptionEnds(dependencies) },
  { projection: tree },
];
