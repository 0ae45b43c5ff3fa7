import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';

/** The epoch that a node is in and whom it voted for in it, kept in a file: no node votes twice in an epoch. */
export class Ballot {
  constructor(file) {
    this.file = file;
    const { epoch, vote } = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { epoch: 0 };
    this.epoch = epoch;
    this.vote = vote;
  }

  /** Enters an epoch, where a vote is given for its leader-to-be. */
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
