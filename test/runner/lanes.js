const { join } = require('node:path');
const { default: TestRunner } = require('jest-runner');

const FAULTS = join(__dirname, '../faults/');
const FUZZ = join(__dirname, '../fuzz/');

/**
 * Runs the specs in three lanes, at the same time. In one lane are the tests of faults, which kill processes and stores
 * and measure how long the others wait. In the second lane are the tests that make requests up for a fixed time, at a low
 * priority. In the third are all other specs. A lane runs one spec at a time, because two tests of faults at a time would
 * delay each other. With `--runInBand`, one lane comes after the other.
 */
class Lanes {
  supportsEventEmitters = true;

  constructor(globalConfig, context) {
    const lane = () => new TestRunner({ ...globalConfig, maxWorkers: 1 }, context);
    [this.faults, this.fuzz, this.others] = [lane(), lane(), lane()];
  }

  async runTests(tests, watcher, options) {
    const laneOf = ({ path }) =>
      path.startsWith(FAULTS) ? this.faults : path.startsWith(FUZZ) ? this.fuzz : this.others;
    const lanes = [this.faults, this.fuzz, this.others]
      .map((lane) => [lane, tests.filter((test) => laneOf(test) === lane)])
      .filter(([, own]) => own.length > 0);
    const run = ([lane, own]) => lane.runTests(own, watcher, options);
    if (options.serial) for (const lane of lanes) await run(lane);
    else await Promise.all(lanes.map(run));
  }

  on(event, listener) {
    const offs = [this.faults, this.fuzz, this.others].map((lane) => lane.on(event, listener));
    return () => {
      for (const off of offs) off();
    };
  }
}

module.exports = Lanes;
