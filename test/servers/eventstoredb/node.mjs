import { Buffer } from 'node:buffer';
import { clearTimeout, setInterval, setTimeout } from 'node:timers';
import { setTimeout as delay } from 'node:timers/promises';
import { notLeaderError, notReadyError } from './answers.mjs';
import { Appends } from './appends.mjs';

const CHUNK_BYTES = 2 ** 20;

/**
 * Returns the number of leading bytes that two logs have in common. Only the epochs need to be compared: the lines that
 * were written in one epoch have the same bytes in both logs, as far as both logs have these lines.
 */
const commonLength = (mine, theirs) => {
  const shared = mine.epochs.findLastIndex(({ epoch, position }) =>
    theirs.epochs.some((other) => other.epoch === epoch && other.position === position),
  );
  if (shared < 0) return 0;
  const { epoch } = mine.epochs[shared];
  const endOf = ({ epochs, length }) =>
    epochs[epochs.findIndex((candidate) => candidate.epoch === epoch) + 1]?.position ?? length;
  return Math.min(endOf(mine), endOf(theirs));
};

const encodedEvent = ({ data, metadata, ...event }) => ({
  ...event,
  data: data.toString('base64'),
  metadata: metadata.toString('base64'),
});

const decodedEvent = ({ data, metadata, ...event }) => ({
  ...event,
  data: Buffer.from(data, 'base64'),
  metadata: Buffer.from(metadata, 'base64'),
});

/**
 * A node of a cluster, or a server that is not in a cluster. The nodes elect a leader and copy its log as in Raft
 * (https://raft.github.io/raft.pdf). Raft's indexes are byte offsets here, and Raft's terms are epochs. An append is
 * acknowledged when a majority of the nodes has the append on disk.
 */
export class Node {
  /** The role is 'follower' (of `leader`, if the leader is known), 'candidate' or 'leader'. */
  role = 'candidate';
  leader = undefined;
  isReady = false;
  /**
   * Number of ticks since this node last heard from a leader. A pause of the process doesn't count, because a paused
   * process has no ticks.
   */
  silentTicks = 0;
  isIsolated = false;
  /** Number of reads of streams that were served. */
  streamReads = 0;

  /** `peers` are the other nodes. `settings` are the options of server.mjs. */
  constructor(log, store, ballot, peers, settings) {
    this.log = log;
    this.store = store;
    this.ballot = ballot;
    this.peers = peers;
    this.settings = settings;
    this.appends = new Appends(log, store);
    // This timeout is shorter than any follower's election timeout. So an isolated leader steps down before the other
    // nodes elect a new leader.
    this.peerTimeoutTicks = Math.ceil((settings.electionMs * 0.75) / settings.heartbeatMs);
    this.majority = Math.floor((peers.length + 1) / 2) + 1;
    log.on('flushed', () => this.advance());
  }

  /** Starts the node. `endpoint` is this node's host and port. */
  start(endpoint) {
    this.endpoint = endpoint;
    if (this.peers.length === 0) return this.lead();
    this.drawElectionTimeout();
    setInterval(() => this.tick(), this.settings.heartbeatMs);
  }

  /** Isolates the node, or ends the isolation. An isolated node exchanges nothing with other nodes. */
  isolate(isIsolated) {
    this.isIsolated = isIsolated;
    for (const peer of this.peers) peer.isCutOff = isIsolated;
  }

  // Methods for calls that clients make:

  /** Throws if this node may not serve the call. */
  admit(call) {
    if (!this.isReady) throw notReadyError();
    if (call.requiresLeader && this.role !== 'leader') throw notLeaderError(this.leader);
  }

  /** Appends as `Appends.append` does. If this node doesn't lead, the append is forwarded to the leader. */
  append(stream, expected, events, isGivenUp) {
    return this.write('append', [stream, expected, events], isGivenUp);
  }

  deleteSoftly(stream, expected, isGivenUp) {
    return this.write('deleteSoftly', [stream, expected], isGivenUp);
  }

  tombstone(stream, expected, isGivenUp) {
    return this.write('tombstone', [stream, expected], isGivenUp);
  }

  write(how, args, isGivenUp) {
    return this.role === 'leader' ? this.writeHere(how, args, isGivenUp) : this.forward(how, args);
  }

  async writeHere(how, args, isGivenUp) {
    const outcome = await this.appends[how](...args, () => isGivenUp() || this.role !== 'leader');
    if (!outcome) throw notReadyError();
    return outcome;
  }

  /**
   * Forwards a write to the leader. If the leader is gone, the promise never resolves, and the call ends at its
   * deadline.
   */
  async forward(how, [stream, expected, events]) {
    const leader = this.peers.find(({ port }) => port === this.leader.port);
    const question = { how, stream, expected, events: events?.map(encodedEvent) };
    return leader.ask('forward', question).catch(() => new Promise(() => undefined));
  }

  /** Returns the nodes of the cluster and their states, as far as this node knows. */
  members() {
    const stateOf = (port) => {
      if (!this.isReady) return 'UNKNOWN';
      return port === (this.role === 'leader' ? this.endpoint : this.leader).port ? 'LEADER' : 'FOLLOWER';
    };
    return [this.endpoint, ...this.peers].map(({ host, port, isAlive = true }) => ({
      id: `00000000-0000-4000-8000-${String(port).padStart(12, '0')}`,
      host,
      port,
      state: stateOf(port),
      isAlive,
    }));
  }

  // Methods for calls that other nodes make:

  handlers() {
    const answering = (handle) => async (call) => {
      if (this.isIsolated) throw notReadyError();
      return call.send(await handle(await call.request()));
    };
    return {
      vote: answering((question) => this.vote(question)),
      replicate: answering((question) => this.follow(question)),
      truncate: answering((question) => this.truncate(question)),
      forward: answering(({ how, stream, expected, events }) => {
        if (!this.isReady || this.role !== 'leader') throw notReadyError();
        const args = events ? [stream, expected, events.map(decodedEvent)] : [stream, expected];
        return this.writeHere(how, args, () => false);
      }),
    };
  }

  /**
   * Decides whether this node votes for the candidate. With `isProbe`, the candidate only asks, and the vote is not
   * given yet. A node that still hears from a leader refuses its vote.
   */
  vote({ epoch, candidate, lastEpoch, length, isProbe }) {
    const mine = this.ending();
    const isAhead = lastEpoch > mine.lastEpoch || (lastEpoch === mine.lastEpoch && length >= mine.length);
    const isFree = epoch > this.ballot.epoch || (epoch === this.ballot.epoch && this.ballot.vote === candidate);
    const hasLeader =
      this.role === 'leader' || (this.leader !== undefined && this.silentTicks < this.electionTimeoutTicks);
    const isGranted = isAhead && isFree && !hasLeader;
    if (isGranted && !isProbe) {
      this.ballot.enter(epoch, candidate);
      this.become('candidate');
    }
    return { isGranted };
  }

  /** Takes new lines of the log and the committed position from the leader. */
  async follow({ epoch, leader, committed, alive, position, lines }) {
    if (epoch < this.ballot.epoch) return { epoch: this.ballot.epoch, isRefused: true };
    if (this.role === 'leader') {
      this.noticeReplacement();
      return { epoch: this.ballot.epoch, isRefused: true };
    }
    if (epoch > this.ballot.epoch) this.ballot.enter(epoch);
    if (this.leader?.port !== leader.port) this.become('follower', leader);
    this.silentTicks = 0;
    for (const peer of this.peers) peer.isAlive = alive.includes(peer.port);
    if (position === this.log.length) this.log.copy(Buffer.from(lines));
    const { length } = this.log;
    await this.log.untilFlushed(length);
    if (position >= 0 && committed <= length) setTimeout(() => this.show(leader, committed), this.settings.lagMs);
    return { length, epochs: this.epochs() };
  }

  /** Makes the committed part of the log visible to readers. */
  show(leader, committed) {
    if (this.leader?.port !== leader.port) return;
    this.store.commit(committed);
    this.setReady(true);
  }

  /**
   * Cuts off the part of the log that the leader's log doesn't have, and ends the process. The test's supervisor starts
   * the process again.
   */
  async truncate({ epoch, position }) {
    if (epoch < this.ballot.epoch || this.role === 'leader') return {};
    await this.log.truncate(position);
    console.error('ONLINE TRUNCATION IS NEEDED. SHUTTING DOWN NODE.');
    process.exit(0);
  }

  // Methods for elections:

  tick() {
    this.silentTicks += 1;
    if (this.role === 'leader') {
      const answering = this.peers.filter(({ missedTicks }) => missedTicks < this.peerTimeoutTicks).length + 1;
      if (answering < this.majority) this.become('candidate');
      for (const peer of this.peers) peer.missedTicks += 1;
    } else if (this.silentTicks >= this.electionTimeoutTicks) {
      this.silentTicks = 0;
      this.drawElectionTimeout();
      void this.stand();
    }
  }

  /**
   * Draws the number of ticks after which this node calls an election. Each node waits for a different length of time,
   * so that one node becomes a candidate first.
   */
  drawElectionTimeout() {
    this.electionTimeoutTicks = Math.ceil(
      (this.settings.electionMs * (1 + Math.random() / 2)) / this.settings.heartbeatMs,
    );
  }

  become(role, leader) {
    this.role = role;
    this.leader = leader;
    this.setReady(false);
    this.silentTicks = 0;
    clearTimeout(this.stepDown);
    this.stepDown = undefined;
  }

  /** Sets whether this node serves clients, and reports a change to the parent process. */
  setReady(isReady) {
    if (this.isReady === isReady) return;
    this.isReady = isReady;
    process.send?.({ role: this.role, isReady, epoch: this.ballot.epoch });
  }

  async stand() {
    this.become('candidate');
    const epoch = this.ballot.epoch + 1;
    if (!(await this.isElected(epoch, true)) || this.role !== 'candidate' || this.ballot.epoch >= epoch) return;
    this.ballot.enter(epoch, this.endpoint.port);
    if (!(await this.isElected(epoch, false)) || this.role !== 'candidate' || this.ballot.epoch !== epoch) return;
    this.lead();
  }

  /**
   * Asks the other nodes for their votes. Resolves with true when a majority votes for this node. Resolves with false
   * when all nodes have replied or failed and there is no majority.
   */
  isElected(epoch, isProbe) {
    const question = { epoch, candidate: this.endpoint.port, isProbe, ...this.ending() };
    const timeoutMs = this.settings.electionMs;
    return new Promise((resolve) => {
      let votes = 1;
      const answers = this.peers.map(async (peer) => {
        const { isGranted } = await peer.ask('vote', question, { timeoutMs });
        if (isGranted) votes += 1;
        if (votes >= this.majority) resolve(true);
      });
      void Promise.allSettled(answers).then(() => resolve(false));
    });
  }

  // Methods of a leader:

  lead() {
    this.become('leader');
    if (this.peers.length === 0) this.ballot.enter(this.ballot.epoch + 1, this.endpoint.port);
    const isNew = this.store.epochs.length === 0;
    this.log.append([{ epoch: this.ballot.epoch }]);
    this.epochBegan = this.log.length;
    if (isNew) this.appends.describeServer();
    for (const peer of this.peers) {
      Object.assign(peer, { next: -1, acknowledged: 0, missedTicks: 0, isAlive: true });
      void this.feed(peer, this.ballot.epoch);
    }
  }

  isLeading(epoch) {
    return this.role === 'leader' && this.ballot.epoch === epoch;
  }

  /**
   * Sends a follower the lines that the follower's log doesn't have yet, as long as this node is the leader of the
   * epoch.
   */
  async feed(peer, epoch) {
    while (this.isLeading(epoch)) {
      const { committed } = this.store;
      const position = peer.next;
      const lines = position < 0 ? '' : (await this.log.read(position, CHUNK_BYTES)).toString();
      const alive = [this.endpoint, ...this.peers.filter(({ isAlive }) => isAlive)].map(({ port }) => port);
      const message = { epoch, leader: this.endpoint, committed, alive, position, lines };
      try {
        const answer = await peer.ask('replicate', message, { timeoutMs: this.settings.electionMs });
        Object.assign(peer, { missedTicks: 0, isAlive: true });
        if (!this.isLeading(epoch)) return;
        if (answer.isRefused) {
          if (answer.epoch > epoch) this.noticeReplacement();
          await delay(this.settings.heartbeatMs);
        } else {
          await this.heed(peer, epoch, answer);
          if (peer.next >= this.log.flushed && committed === this.store.committed) await this.pause();
        }
      } catch {
        peer.isAlive = false;
        await delay(this.settings.heartbeatMs);
      }
    }
  }

  async heed(peer, epoch, { length, epochs }) {
    const common = commonLength({ epochs: this.epochs(), length: this.log.length }, { epochs, length });
    if (common < length)
      await peer.ask('truncate', { epoch, position: common }, { timeoutMs: this.settings.electionMs });
    peer.next = common;
    peer.acknowledged = common;
    this.advance();
  }

  /** Resolves when there is something new to send to followers, and at the next heartbeat at the latest. */
  async pause() {
    await Promise.race([this.log.flushes.next, this.store.commits.next, delay(this.settings.heartbeatMs)]);
  }

  /**
   * Commits the part of the log that a majority has on disk. Commits nothing until that part includes the first record
   * of this leader's epoch.
   */
  advance() {
    if (this.role !== 'leader') return;
    const lengths = [this.log.flushed, ...this.peers.map(({ acknowledged }) => acknowledged)].sort((a, b) => b - a);
    const committed = lengths[this.majority - 1];
    if (committed < this.epochBegan) return;
    this.store.commit(committed);
    this.setReady(true);
  }

  /**
   * Called when this leader learns that another node leads. For `staleMs` this node still serves clients as a leader.
   * But no majority follows this node any more, so this node commits nothing more.
   */
  noticeReplacement() {
    this.stepDown ??= setTimeout(() => this.become('candidate'), this.settings.staleMs);
  }

  ending() {
    return { lastEpoch: this.store.epochs.at(-1)?.epoch ?? 0, length: this.log.length };
  }

  epochs() {
    return this.store.epochs.map(({ epoch, position }) => ({ epoch, position }));
  }
}
