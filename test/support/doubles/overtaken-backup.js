/**
 * `node --require` loads this file into `consumer-clients backup` before the program's own code. After the program has
 * seen that its directory is empty, and before it goes on, another process makes a whole backup in that directory.
 */
const { execFileSync } = require('node:child_process');
const files = require('node:fs/promises');

const { readdir } = files;

files.readdir = async (...args) => {
  const names = await readdir(...args);
  execFileSync(process.execPath, process.argv.slice(1), { env: { ...process.env, NODE_OPTIONS: '' } });
  return names;
};
