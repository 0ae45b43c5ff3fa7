import { clients } from './clients.js';
import { history } from './history.js';
import type { ReadModel } from './projection.js';
import { subscriptions } from './subscriptions.js';
import { usage } from './usage.js';

/** All read models of this code, by the names that queries use. */
export const projections = { clients, subscriptions, history, usage };

/** The same read models as a list. */
export const readModels: readonly ReadModel[] = Object.values(projections);
