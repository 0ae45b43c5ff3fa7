export { type AssignmentDocument, assignments } from './assignments.js';
export { SubscriptionEnds } from './subscription-ends.js';
