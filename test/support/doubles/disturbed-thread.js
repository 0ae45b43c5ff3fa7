/**
 * `node --require` loads this file into the standalone. When the file PROJECTOR_THREAD_FILE exists, the projector's
 * thread does what the file says: at `stuck`, it runs nothing until the file is removed, and at any other text, it throws
 * an error with this text.
 */
const { readFileSync } = require('node:fs');
const { setInterval } = require('node:timers');
const { isMainThread } = require('node:worker_threads');

const order = () => {
  try {
    return readFileSync(process.env.PROJECTOR_THREAD_FILE, 'utf8');
  } catch {
    return undefined;
  }
};

function obey() {
  if (!process.argv[1].endsWith('projector-worker.js')) return;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let text = order(); text; text = order()) {
    if (text !== 'stuck') throw new Error(text);
    Atomics.wait(pause, 0, 0, 5);
  }
}

if (!isMainThread) setInterval(obey, 5).unref();
