import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/**
 * The tools that a suite uses. A suite's files are in `data/`, on a real disk, because in a `tmpfs` a sync would cost
 * nothing.
 */
export class Bench {
  #ends = [];
  #fail;
  #failed = new Promise((_, reject) => (this.#fail = reject));

  constructor({ quick, clients, list }) {
    /** If true, the run only shows that the suite works. The figures of such a run mean nothing. */
    this.isQuick = quick;
    /** The number of clients that suite `scale` seeds; `undefined` if the suite chooses the number. */
    this.clients = clients === undefined ? undefined : wholeNumber(clients);
    /** If true, suite `functions` prints the name of each function that it counts. */
    this.printsNames = list;
    mkdirSync(join(ROOT, 'data'), { recursive: true });
    const folder = mkdtempSync(join(ROOT, 'data', 'bench-'));
    this.folder = folder;
    this.atEnd(() => rmSync(folder, { recursive: true, force: true }));
  }

  newFolder(name) {
    return mkdtempSync(join(this.folder, `${name}-`));
  }

  /**
   * Registers a function that is called when the suite ends, even if the suite fails. The function that was registered
   * last is called first.
   */
  atEnd(release) {
    this.#ends.unshift(release);
  }

  /**
   * Takes over a started `Program`: stops it when the suite ends, and makes the suite fail if the program fails before.
   * The error then shows what the program has printed.
   */
  keep(program, name) {
    this.atEnd(() => program.stop());
    void program.exited.then((code) => {
      if (code) this.#fail(new Error(`${name} ended with ${code}:\n${program.output()}`));
    });
  }

  /** Runs a suite. Throws what the suite throws, and when a program of `keep` has failed. */
  run(suite) {
    return Promise.race([suite(this), this.#failed]);
  }

  say(text) {
    console.error(`… ${text}`);
  }

  async end() {
    for (const release of this.#ends) await release();
  }
}

function wholeNumber(text) {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`--clients takes a whole number, not ${text}`);
  return Number(text);
}
