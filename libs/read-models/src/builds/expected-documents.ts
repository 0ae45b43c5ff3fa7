import { type Checkpoint, type FollowedEvent, isSameCheckpoint } from '#event-log';
import type { Position } from '#events';
import type { StoredDocument } from '../port.js';
import { changeOfCount, foldInto, type Projection } from '../projections/projection.js';
import { idHash } from './id-hash.js';

const SAMPLE = 1000;

/**
 * What the log makes of a projection: the number of documents, and a sample of the documents in full. It is computed
 * beside the feeding of a build, from the same events, so that the build can be checked (`spotCheck`) without reading the
 * log again. It never reads the build, and it needs the same memory for a log of any length.
 *
 * 1. The projector hands over each batch when the batch's checkpoint is stored. A batch that does not continue the
 *    events so far is left out: this process may have begun in the middle of a build, or the checkpoint was moved. The
 *    check then reads the missing events from the log.
 * 2. The number of documents changes with each event as the projection says (`DocumentCount`).
 * 3. The sample consists of the documents whose ids have the smallest hashes. So the sample does not depend on how far
 *    the log has been read, and a document in the sample has been there since its first event.
 */
export class ExpectedDocuments<Doc> {
  private readonly sample = new Map<string, StoredDocument<Doc>>();
  /** Upper limit for the hashes of sampled ids. */
  private bound = Infinity;
  private isClosed = false;
  private batch: { readonly events: readonly FollowedEvent[]; readonly after: Checkpoint | undefined } | undefined;
  private reached: Checkpoint | undefined;
  private lastPosition: Position | undefined;
  /** The ordinal of the next numbered event, if the projection numbers events. */
  nextOrdinal = 0;
  /** Number of documents; 0 if the projection's documents are not counted. */
  count = 0;

  constructor(private readonly projection: Projection<Doc>) {}

  /** Position in the log up to which the events are included; `undefined` before the first event. */
  get position(): Position | undefined {
    return this.lastPosition;
  }

  /** The documents of the sample, at least 1,000 (all documents, if there are fewer). */
  get sampled(): ReadonlyMap<string, StoredDocument<Doc>> {
    return this.sample;
  }

  /** Remembers a batch whose documents are written. `after` is the checkpoint before the batch. */
  batchWritten(events: readonly FollowedEvent[], after: Checkpoint | undefined): void {
    if (!this.isClosed) this.batch = { events, after };
  }

  /** Includes the remembered batch. `checkpoint` is the one that was stored after the batch. */
  checkpointStored(checkpoint: Checkpoint | undefined): void {
    const { batch } = this;
    this.batch = undefined;
    if (!batch || !isSameCheckpoint(batch.after, this.reached)) return;
    for (const event of batch.events) this.add(event);
    this.reached = checkpoint;
    this.lastPosition = checkpoint?.position;
  }

  /** Includes the next event. Throws what the projection's `apply` throws. */
  add(event: FollowedEvent): void {
    const { projection, sample } = this;
    for (const id of projection.documentsOf(event)) {
      if (!sample.has(id) && idHash(id) > this.bound) continue;
      const document = foldInto(projection, sample.get(id), event, id);
      if (document) sample.set(id, document);
    }
    // Counted last: an event that can't be applied must not count.
    this.count += changeOfCount(projection, event);
    this.lastPosition = event.position;
    if (event.ordinal !== undefined) this.nextOrdinal = event.ordinal + 1;
    if (sample.size >= 2 * SAMPLE) this.narrow();
  }

  /** Returns a copy that no longer changes with the feed. */
  copy(): ExpectedDocuments<Doc> {
    const copy = new ExpectedDocuments(this.projection);
    for (const [id, document] of this.sample) copy.sample.set(id, document);
    copy.bound = this.bound;
    copy.count = this.count;
    copy.lastPosition = this.lastPosition;
    copy.nextOrdinal = this.nextOrdinal;
    return copy;
  }

  /** Forgets everything, and ignores all further batches. */
  close(): void {
    this.isClosed = true;
    this.batch = undefined;
    this.reached = undefined;
    this.lastPosition = undefined;
    this.sample.clear();
    this.count = this.nextOrdinal = 0;
  }

  private narrow(): void {
    const hashed = [...this.sample.keys()].map((id) => ({ id, hash: idHash(id) })).sort((a, b) => a.hash - b.hash);
    this.bound = hashed[SAMPLE - 1]?.hash ?? Infinity;
    for (const { id, hash } of hashed) if (hash > this.bound) this.sample.delete(id);
  }
}
