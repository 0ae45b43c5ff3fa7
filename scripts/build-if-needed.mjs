// Builds the project if a source file is newer than the last build. So `npm start` and `npm test` need no separate
// build step.
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const STAMP = 'dist/.built';

const newest = (path) => {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))));
};

const sources = [
  'apps',
  'libs',
  'package.json',
  'package-lock.json',
  'nest-cli.json',
  'tsconfig.json',
  'tsconfig.build.json',
];
const built = statSync(STAMP, { throwIfNoEntry: false })?.mtimeMs ?? 0;

if (Math.max(...sources.map(newest)) > built) {
  const startedAt = new Date();
  console.log('Building …');
  execFileSync('npx', ['nest', 'build'], { stdio: 'inherit' });
  writeFileSync(STAMP, startedAt.toISOString());
}
