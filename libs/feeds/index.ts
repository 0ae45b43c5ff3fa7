export { type CloudEvent, cloudEventOf } from './cloud-event.js';
export { EventFeed, type FeedEvent, type FeedPage } from './event-feed.js';
export { LeafCounts } from './leaf-counts.js';
