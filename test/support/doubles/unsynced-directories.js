/**
 * `node --require` loads this file into a program before the program's own code. The program can't sync directories to
 * disk, as if the disk had failed.
 */
const files = require('node:fs/promises');

const { open } = files;

files.open = async (...args) => {
  const handle = await open(...args);
  if ((await handle.stat()).isDirectory()) {
    handle.sync = () => Promise.reject(new Error('EIO: i/o error, fsync'));
  }
  return handle;
};
