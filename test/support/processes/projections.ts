import { allProjections } from '#process-managers';

/** The names of all projections, as they appear in the metrics and readiness checks of a projector. */
export const PROJECTIONS = allProjections.map(({ projection }) => projection.name);
