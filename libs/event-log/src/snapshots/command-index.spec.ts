import type { Revision } from '#events';
import { IndexIncomplete, type Parts, revisionsOf, type Run, withCommands } from './command-index.js';

class PartsInMemory implements Parts {
  readonly parts: string[] = [];
  reads = 0;

  read(number: number) {
    this.reads += 1;
    return Promise.resolve(this.parts[number]);
  }

  write(parts: readonly string[]) {
    return Promise.resolve(this.parts.push(...parts) - parts.length);
  }
}

const commands = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => [`command ${from + index}`, BigInt(from + index)] as const);

describe('the index of a stream’s commands', () => {
  let parts: PartsInMemory;
  beforeEach(() => {
    parts = new PartsInMemory();
  });

  /** Adds `times` runs, each with `each` commands. */
  const indexOf = async (times: number, each: number): Promise<Run[]> => {
    let runs: Run[] = [];
    for (let time = 0; time < times; time++) runs = await withCommands(parts, runs, commands(time * each, each));
    return runs;
  };
  const find = (runs: readonly Run[], id: string): Promise<Revision[]> => revisionsOf(parts, runs, id);

  it('finds every command and no other, whatever runs were merged', async () => {
    const runs = await indexOf(77, 50);
    expect(runs.map(({ segments }) => segments).sort()).toEqual([1, 1, 1, 1, 1, 64, 8]);
    for (const [id, revision] of commands(0, 77 * 50)) expect(await find(runs, id)).toEqual([revision]);
    for (const id of ['command -1', 'command 3850', '']) expect(await find(runs, id)).toEqual([]);
  });

  it('finds every command of a run that was large from the beginning', async () => {
    const runs = await withCommands(parts, [], commands(1_000_000, 40_000));
    expect(runs.map(({ segments }) => segments)).toEqual([64]);
    for (const [id, revision] of commands(1_000_000, 40_000)) {
      if (Number(revision) % 13 === 0) expect(await find(runs, id)).toEqual([revision]);
    }
  });

  it('reads one segment of each run, and has few runs', async () => {
    const runs = await indexOf(700, 5);
    expect(runs.length).toBeLessThan(4 * 8);
    parts.reads = 0;
    await find(runs, 'command 17');
    expect(parts.reads).toBe(runs.length);
  });

  it('finds the last of several events of a command first', async () => {
    const runs = await withCommands(parts, await withCommands(parts, [], [['twice', 4n]]), [['twice', 5n]]);
    expect(await find(runs, 'twice')).toEqual([5n, 4n]);
  });

  it.each<[what: string, damage: (part: string, other: string) => string]>([
    ['missing', () => ''],
    ['damaged', (part) => part.replace('entries":"', 'entries":"AAAA')],
    ['exchanged for another segment', (_part, other) => other],
  ])('is never trusted if a segment is %s', async (_what, damage) => {
    const runs = await withCommands(parts, [], commands(0, 4_000));
    const { length } = parts.parts;
    const before = [...parts.parts];
    for (let number = 0; number < length; number++) {
      parts.parts[number] = damage(before[number] ?? '', before[(number + 1) % length] ?? '');
    }
    await expect(find(runs, 'command 1')).rejects.toThrow(IndexIncomplete);
  });
});
