// Starts built programs of apps/. The tests, the benchmarks and the demo use this file. This file is plain JavaScript,
// because both Jest and Node must be able to load it.
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { join } = require('node:path');
const { performance } = require('node:perf_hooks');
const { createInterface } = require('node:readline');
const { setTimeout: delay } = require('node:timers/promises');

const ROOT = join(__dirname, '../../..');

/** Matches the line on stderr by which a program reports that it listens. The first group is the program's URL. */
const LISTENING = /^(?:Consumer Clients, \w+: |\s*API\s+)(http:\S+?)(?:\/v1)?$/;

const spawnProgram = (name, { env = {}, under = [], release = ROOT, stdout = 'pipe' } = {}) => {
  const [command, ...args] = [...under, process.execPath, join(release, `dist/apps/${name}/src/main.js`)];
  return spawn(command, args, {
    env: { PATH: process.env.PATH, PORT: '0', SHUTDOWN_GRACE_MS: '0', ...env },
    stdio: ['ignore', stdout, 'pipe'],
  });
};

class Program {
  constructor(child, exited, url, output) {
    this.child = child;
    this.exited = exited;
    this.url = url;
    this.output = output;
  }

  static async launch(name, options) {
    const child = spawnProgram(name, options);
    const exited = once(child, 'close').then(([code]) => code);
    let output = '';
    child.stdout?.on('data', (chunk) => (output += String(chunk)));
    const url = new Promise((resolve) => {
      createInterface({ input: child.stderr }).on('line', (line) => {
        output += `${line}\n`;
        const [, found] = LISTENING.exec(line) ?? [];
        if (found !== undefined) resolve(found);
      });
    });
    const first = await Promise.race([url, exited]);
    if (typeof first !== 'string') throw new Error(`${name} ended with ${first}:\n${output}`);
    return new this(child, exited, first, () => output);
  }

  static async runToEnd(name, options) {
    const child = spawnProgram(name, options);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
    const [code] = await once(child, 'close');
    return { code, output };
  }

  get pid() {
    return this.child.pid;
  }

  async ready(seconds = 120) {
    const giveUpAt = performance.now() + seconds * 1000;
    for (;;) {
      const answer = await fetch(`${this.url}/health/ready`).catch((cause) => {
        throw new Error(`No answer from ${this.url}:\n${this.output()}`, { cause });
      });
      const body = await answer.text();
      if (answer.ok) return;
      if (performance.now() > giveUpAt) throw new Error(`Not ready after ${seconds} s: ${body}`);
      await delay(10);
    }
  }

  async printed(what, seconds = 120) {
    const giveUpAt = performance.now() + seconds * 1000;
    const isPrinted = () => (typeof what === 'string' ? this.output().includes(what) : what.test(this.output()));
    while (!isPrinted()) {
      if (performance.now() > giveUpAt) throw new Error(`Did not print ${what} in ${seconds} s:\n${this.output()}`);
      await delay(10);
    }
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  stop() {
    this.child.kill('SIGTERM');
    return this.exited;
  }
}

module.exports = { Program };
