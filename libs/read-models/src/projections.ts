import { clients } from './clients.js';
import { history } from './history.js';
import type { Projection } from './projection.js';
import { subscriptions } from './subscriptions.js';

/** Every projection of this code: what the projector builds. */
export const projections: readonly Projection[] = [clients, subscriptions, history];
