/** Preloaded into a program (`node --require`): its wall clock is ahead by the seconds in the file CLOCK_AHEAD_FILE. */
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
