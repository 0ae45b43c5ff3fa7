import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';

/**
 * A node's epoch (the number of its latest election) and the node's vote in that epoch. A file keeps both, so that a
 * node never votes twice in an epoch, even after a restart.
 */
export class Ballot {
  constructor(file) {
    this.file = file;
    const { epoch, vote } = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { epoch: 0 };
    this.epoch = epoch;
    this.vote = vote;
  }

  /** Enters an epoch. `vote` is the candidate for which this node votes. */
  enter(epoch, vote) {
    this.epoch = epoch;
    this.vote = vote;
    const next = `${this.file}.next`;
    const descriptor = openSync(next, 'w');
    writeSync(descriptor, JSON.stringify({ epoch, vote }));
    fsyncSync(descriptor);
    closeSync(descriptor);
    renameSync(next, this.file);
  }
}
