import { Buffer } from 'node:buffer';
import { clearTimeout, setInterval, setTimeout } from 'node:timers';
import { setTimeout as delay } from 'node:timers/promises';
import { notLeaderError, notReadyError } from './answers.mjs';
import { Appends } from './appends.mjs';

const CHUNK_BYTES = 2 ** 20;

/** Where two logs begin to differ, by the epochs in them: within an epoch they hold the same bytes. */
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
 * One node of a cluster, which may be its only one. Leaders are elected and replicate their log as in Raft
 * (https://raft.github.io/raft.pdf), with byte offsets for indexes and epochs for terms. An append is acknowledged
 * when a majority has it on disk.
 */
export class Node {
  /** 'follower' (of `leader`, where that is known), 'candidate' or 'leader'. */
  role = 'candidate';
  leader = undefined;
  isReady = false;
  /** Ticks since a leader was heard of. Time that the process is paused doesn't count. */
  silentTicks = 0;
  isIsolated = false;

  /** `peers`: the other nodes. `settings`: see server.mjs. */
  constructor(log, store, ballot, peers, settings) {
    this.log = log;
    this.store = store;
    this.ballot = ballot;
    this.peers = peers;
    this.settings = settings;
    this.liveBuffer = settings.liveBuffer;
    this.appends = new Appends(log, store);
    // Shorter than any follower's, so that a leader cut off from them is gone before the next one is there.
    this.leaderPatience = Math.ceil((settings.electionMs * 0.75) / settings.heartbeatMs);
    this.majority = Math.floor((peers.length + 1) / 2) + 1;
    log.on('flushed', () => this.advance());
  }

  /** `endpoint`: its own host and port. */
  start(endpoint) {
    this.endpoint = endpoint;
    if (this.peers.length === 0) return this.lead();
    this.drawPatience();
    setInterval(() => this.tick(), this.settings.heartbeatMs);
  }

  /** Neither asks nor answers other nodes. */
  isolate(isIsolated) {
    this.isIsolated = isIsolated;
    for (const peer of this.peers) peer.isCutOff = isIsolated;
  }

  // What clients see.

  /** Throws what a call is answered that this node may not serve. */
  admit(call) {
    if (!this.isReady) throw notReadyError();
    if (call.requiresLeader && this.role !== 'leader') throw notLeaderError(this.leader);
  }

  /** As in Appends, wherever the leader is. */
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

  /** Hands a write on to the leader. When that is gone, no answer comes: the caller's deadline ends it. */
  async forward(how, [stream, expected, events]) {
    const leader = this.peers.find(({ port }) => port === this.leader.port);
    const question = { how, stream, expected, events: events?.map(encodedEvent) };
    return leader.ask('forward', question).catch(() => new Promise(() => undefined));
  }

  /** The cluster as this node sees it. */
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

  // What other nodes ask.

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

  /** `isProbe`: would this node vote so? Who still hears a leader doesn't. */
  vote({ epoch, candidate, lastEpoch, length, isProbe }) {
    const mine = this.ending();
    const isAhead = lastEpoch > mine.lastEpoch || (lastEpoch === mine.lastEpoch && length >= mine.length);
    const isFree = epoch > this.ballot.epoch || (epoch === this.ballot.epoch && this.ballot.vote === candidate);
    const hasLeader = this.role === 'leader' || (this.leader !== undefined && this.silentTicks < this.patience);
    const isGranted = isAhead && isFree && !hasLeader;
    if (isGranted && !isProbe) {
      this.ballot.enter(epoch, candidate);
      this.become('candidate');
    }
    return { isGranted };
  }

  /** Takes a leader's lines, and what it says is committed. */
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

  /** Makes what is committed visible to readers. */
  show(leader, committed) {
    if (this.leader?.port !== leader.port) return;
    this.store.commit(committed);
    this.setReady(true);
  }

  /** Its log has what the leader's hasn't: the node cuts that off and ends, to be started again. */
  async truncate({ epoch, position }) {
    if (epoch < this.ballot.epoch || this.role === 'leader') return {};
    await this.log.truncate(position);
    console.error('ONLINE TRUNCATION IS NEEDED. SHUTTING DOWN NODE.');
    process.exit(0);
  }

  // Elections.

  tick() {
    this.silentTicks += 1;
    if (this.role === 'leader') {
      const answering = this.peers.filter(({ missedTicks }) => missedTicks < this.leaderPatience).length + 1;
      if (answering < this.majority) this.become('candidate');
      for (const peer of this.peers) peer.missedTicks += 1;
    } else if (this.silentTicks >= this.patience) {
      this.silentTicks = 0;
      this.drawPatience();
      void this.stand();
    }
  }

  /** Nodes wait for different times, so that one of them stands first. */
  drawPatience() {
    this.patience = Math.ceil((this.settings.electionMs * (1 + Math.random() / 2)) / this.settings.heartbeatMs);
  }

  become(role, leader) {
    this.role = role;
    this.leader = leader;
    this.setReady(false);
    this.silentTicks = 0;
    clearTimeout(this.stepDown);
    this.stepDown = undefined;
  }

  /** Tells the process that started this one, too. */
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

  /** Resolves as soon as a majority has voted for this node, or all have answered. */
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

  // Leading.

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

  /** Sends a follower what it hasn't, as long as this node leads. */
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

  /** Until there is news for followers, or they wait for a heartbeat. */
  async pause() {
    await Promise.race([this.log.flushes.next, this.store.commits.next, delay(this.settings.heartbeatMs)]);
  }

  /** Commits what a majority has, once that includes the beginning of this leader's epoch. */
  advance() {
    if (this.role !== 'leader') return;
    const lengths = [this.log.flushed, ...this.peers.map(({ acknowledged }) => acknowledged)].sort((a, b) => b - a);
    const committed = lengths[this.majority - 1];
    if (committed < this.epochBegan) return;
    this.store.commit(committed);
    this.setReady(true);
  }

  /** Another leads: this node goes on as before for a while, though no majority follows it. */
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
