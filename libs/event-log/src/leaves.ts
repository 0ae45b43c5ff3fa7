import type { RecordedEvent } from '#events';
import { isSealMarker } from './seal.js';
import { TREE_HEADS_STREAM } from './streams.js';

const HASH = /^[0-9a-f]{64}$/;

/**
 * Whether the event is a leaf of the tree over the log. Every event of our streams is one, with two exceptions: the
 * signed heads of the tree, which can't be in the tree that they sign, and seal markers, which belong to one store and
 * are not copied. So a copy of the log has the same tree. What another program wrote into one of our streams has no hash,
 * and is no leaf.
 *
 * This choice MUST depend on nothing but the event, and must never change: heads were signed over it.
 */
export const isLeaf = ({ stream, type, unreadable, metadata }: RecordedEvent): boolean =>
  !unreadable && stream !== TREE_HEADS_STREAM && !isSealMarker({ stream, type }) && HASH.test(metadata.hash);
