/**
 * `node --require` loads this file into a program before the program's own code. The file moves the program's wall
 * clock ahead by the number of seconds that the file CLOCK_AHEAD_FILE contains.
 */
const { readFileSync } = require('node:fs');

const RealDate = Date;
const now = () => RealDate.now() + Number(readFileSync(process.env.CLOCK_AHEAD_FILE, 'utf8')) * 1000;

globalThis.Date = class Date extends RealDate {
  constructor(...args) {
    super(...(args.length === 0 ? [now()] : args));
  }

  static now() {
    return now();
  }
};
