const { join } = require('node:path');
const { default: TestRunner } = require('jest-runner');

const FOLDERS_OF_STORIES = ['test', 'examples'].map((folder) => join(__dirname, '../..', folder, '/'));
const isStory = ({ path }) => FOLDERS_OF_STORIES.some((folder) => path.startsWith(folder));

/**
 * Runs the specs in two lanes, at the same time. In one lane are the stories, which start processes and mostly wait for
 * them; in the other lane are all other specs. A lane runs one spec at a time, because two stories at a time would delay
 * each other's processes. With `--runInBand`, one lane comes after the other.
 */
class TwoLanes {
  supportsEventEmitters = true;

  constructor(globalConfig, context) {
    const lane = () => new TestRunner({ ...globalConfig, maxWorkers: 1 }, context);
    [this.stories, this.others] = [lane(), lane()];
  }

  async runTests(tests, watcher, options) {
    const lanes = [
      [this.stories, tests.filter(isStory)],
      [this.others, tests.filter((test) => !isStory(test))],
    ].filter(([, own]) => own.length > 0);
    const run = ([lane, own]) => lane.runTests(own, watcher, options);
    if (options.serial) for (const lane of lanes) await run(lane);
    else await Promise.all(lanes.map(run));
  }

  on(event, listener) {
    const offs = [this.stories, this.others].map((lane) => lane.on(event, listener));
    return () => {
      for (const off of offs) off();
    };
  }
}

module.exports = TwoLanes;
