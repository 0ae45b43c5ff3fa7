/** Of a projector, as its metrics and readiness checks name them. */
export const PROJECTIONS = ['clients', 'subscriptions', 'history', 'assignments'];
