const { join } = require('node:path');
const { default: TestRunner } = require('jest-runner');

const FAULTS = join(__dirname, '../faults/');
const isOfFaults = ({ path }) => path.startsWith(FAULTS);

/**
 * Runs the specs in two lanes, at the same time. In one lane are the tests of faults, which kill processes and stores
 * and measure how long the others wait; in the other lane are all other specs. A lane runs one spec at a time, because
 * two tests of faults at a time would delay each other. With `--runInBand`, one lane comes after the other.
 */
class TwoLanes {
  supportsEventEmitters = true;

  constructor(globalConfig, context) {
    const lane = () => new TestRunner({ ...globalConfig, maxWorkers: 1 }, context);
    [this.faults, this.others] = [lane(), lane()];
  }

  async runTests(tests, watcher, options) {
    const lanes = [
      [this.faults, tests.filter(isOfFaults)],
      [this.others, tests.filter((test) => !isOfFaults(test))],
    ].filter(([, own]) => own.length > 0);
    const run = ([lane, own]) => lane.runTests(own, watcher, options);
    if (options.serial) for (const lane of lanes) await run(lane);
    else await Promise.all(lanes.map(run));
  }

  on(event, listener) {
    const offs = [this.faults, this.others].map((lane) => lane.on(event, listener));
    return () => {
      for (const off of offs) off();
    };
  }
}

module.exports = TwoLanes;
