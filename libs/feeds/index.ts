export { type CloudEvent, cloudEventOf } from './cloud-event.js';
export type { FeedEvent, FeedPage } from './event-feed.js';
export { FollowedFeed } from './followed-feed.js';
export { LeafCounts } from './leaf-counts.js';
export { type OcsfEvent, ocsfEventOf } from './ocsf.js';
