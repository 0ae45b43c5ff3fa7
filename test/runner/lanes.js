const { join } = require('node:path');
const { default: TestRunner } = require('jest-runner');

const FAULTS = join(__dirname, '../faults/');
const FUZZ = join(__dirname, '../fuzz/');

/** A lane takes this part of the specs that are left, so that both lanes end at about the same time. */
const PART = 1 / 8;

/**
 * Runs the specs in three lanes, at the same time. In one lane are the tests of faults, which kill processes and stores
 * and measure how long the others wait. In the second lane are the tests that make requests up for a fixed time, at a low
 * priority. In the third are all other specs. A lane runs one spec at a time, because two tests of faults at a time would
 * delay each other. The lane of faults takes other specs when it has no more of its own, so that no core is idle until
 * the third lane ends. With `--runInBand`, one lane comes after the other.
 */
class Lanes {
  supportsEventEmitters = true;

  constructor(globalConfig, context) {
    const lane = () => new TestRunner({ ...globalConfig, maxWorkers: 1 }, context);
    [this.faults, this.fuzz, this.others] = [lane(), lane(), lane()];
  }

  async runTests(tests, watcher, options) {
    const isIn = (folder) => (test) => test.path.startsWith(folder);
    const faults = tests.filter(isIn(FAULTS));
    const fuzz = tests.filter(isIn(FUZZ));
    const others = tests.filter((test) => !faults.includes(test) && !fuzz.includes(test));
    const run = async (lane, own) => {
      if (own.length > 0) await lane.runTests(own, watcher, options);
    };
    if (options.serial) {
      await run(this.faults, faults);
      await run(this.fuzz, fuzz);
      await run(this.others, others);
      return;
    }
    // Each call starts a process, so a lane takes several specs at a time: at first many, at last one.
    const takeOthers = async (lane) => {
      while (others.length > 0) await run(lane, others.splice(0, Math.ceil(others.length * PART)));
    };
    await Promise.all([
      run(this.faults, faults).then(() => takeOthers(this.faults)),
      run(this.fuzz, fuzz),
      takeOthers(this.others),
    ]);
  }

  on(event, listener) {
    const offs = [this.faults, this.fuzz, this.others].map((lane) => lane.on(event, listener));
    return () => {
      for (const off of offs) off();
    };
  }
}

module.exports = Lanes;
