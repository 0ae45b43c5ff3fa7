// Usage: npm run docs:architecture [-- --check]
// Finds the rooms (apps and libraries) and their imports with dependency-cruiser, and draws them into
// docs/architecture.md. With `--check`, nothing is written: the script fails if the picture in that file is outdated.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FILE = 'docs/architecture.md';
const PLACE = /(?<=<!-- rooms -->\n)[^]*(?=<!-- \/rooms -->)/;

const pathOf = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Returns every import between files of `apps/` and `libs/` (except specs) as `{ from, to, dynamic }`. */
function imports() {
  const program = pathOf('node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const config = ['--config', pathOf('.dependency-cruiser.cjs'), '--exclude', '\\.spec\\.ts$'];
  const args = [program, ...config, '--output-type', 'json', 'apps', 'libs'];
  const { stdout, stderr } = spawnSync(process.execPath, args, { maxBuffer: 2 ** 27 });
  if (stdout.length === 0) throw new Error(`dependency-cruiser found nothing: ${stderr}`);
  return JSON.parse(stdout).modules.flatMap(({ source, dependencies }) =>
    dependencies.map(({ resolved, dynamic }) => ({ from: source, to: resolved, dynamic })),
  );
}

/**
 * Returns a function that finds the room of a file. A room is an app, or a folder whose index file has a name in
 * package.json, such as `#event-log/sqlite`. A named file that is no index is a second entrance to its folder's room.
 */
function roomFinder() {
  const named = Object.values(JSON.parse(readFileSync('package.json', 'utf8')).imports);
  const folders = named
    .flatMap(({ source }) => /^\.\/(.+?)(?:\/src)?\/index\.ts$/.exec(source)?.[1] ?? [])
    // An adapter's folder lies inside a library's folder, so the longer path must be tried first.
    .toSorted((one, other) => other.length - one.length);
  return (file) => folders.find((folder) => file.startsWith(`${folder}/`)) ?? /^(?:apps|libs)\/[^/]+/.exec(file)?.[0];
}

/**
 * Returns, for each room, a map whose keys are the rooms that it imports. A value is true if all imports from the room
 * to that other room are dynamic.
 */
function importsByRoom() {
  const roomOf = roomFinder();
  const rooms = new Map();
  for (const { from, to, dynamic } of imports()) {
    const [importer, imported] = [roomOf(from), roomOf(to)];
    if (!importer || !imported || importer === imported) continue;
    for (const room of [importer, imported]) if (!rooms.has(room)) rooms.set(room, new Map());
    const ofImporter = rooms.get(importer);
    ofImporter.set(imported, dynamic && (ofImporter.get(imported) ?? true));
  }
  return rooms;
}

/**
 * Draws a Mermaid graph of the rooms. To keep the graph small, an import is left out if a longer path of arrows already
 * leads to the same room (transitive reduction).
 */
function picture(rooms) {
  const reachedFrom = (room) => [...rooms.get(room).keys()].flatMap((next) => [next, ...reachedFrom(next)]);
  const height = (room) => Math.max(0, ...[...rooms.get(room).keys()].map((next) => height(next) + 1));
  const inOrder = [...rooms.keys()].sort().toSorted((one, other) => height(other) - height(one));
  const arrows = inOrder.flatMap((room) => {
    const direct = [...rooms.get(room)].sort();
    const implied = new Set(direct.flatMap(([next]) => reachedFrom(next)));
    return direct
      .filter(([next]) => !implied.has(next))
      .map(([next, isDynamic]) => `  ${idOf(room)} ${isDynamic ? '-.->' : '-->'} ${idOf(next)}`);
  });
  const [apps, libraries] = [inOrder.filter(isApp), inOrder.filter((room) => !isApp(room))];
  return [
    '```mermaid',
    'flowchart TD',
    ...['  subgraph apps', ...apps.map((room) => `    ${idOf(room)}["${room}"]`), '  end'],
    ...libraries.map((room) => `  ${idOf(room)}${isAdapter(room) ? `[("${room}")]` : `["${room}"]`}`),
    ...arrows,
    '```',
  ].join('\n');
}

const isApp = (room) => room.startsWith('apps/');
const isAdapter = (room) => room.split('/').length === 3;
const idOf = (room) => room.replaceAll('/', '_');

const before = readFileSync(FILE, 'utf8');
if (!PLACE.test(before)) throw new Error(`${FILE} has no place for the picture`);
const after = before.replace(PLACE, `\n${picture(importsByRoom())}\n\n`);
if (!process.argv.includes('--check')) {
  writeFileSync(FILE, after);
} else if (after !== before) {
  console.error(`The picture in ${FILE} is not current: run npm run docs:architecture`);
  process.exitCode = 1;
}
