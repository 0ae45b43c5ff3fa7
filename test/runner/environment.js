const { readFileSync } = require('node:fs');
const { TestEnvironment } = require('jest-environment-node');

/** Returns the ids of the processes that this process has started and that still run. */
function children() {
  try {
    return readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/**
 * Kills the processes that a spec has left behind, because its set-up or its clean-up failed. They would slow the next
 * specs down, and keep Jest from ending.
 */
class Environment extends TestEnvironment {
  constructor(config, context) {
    super(config, context);
    this.path = context.testPath;
    this.before = new Set(children());
  }

  async teardown() {
    for (const pid of children().filter((child) => !this.before.has(child))) {
      process.stderr.write(`${this.path} left process ${pid} behind, which is killed now\n`);
      process.kill(pid, 'SIGKILL');
    }
    await super.teardown();
  }
}

module.exports = Environment;
