import type { BuildName, ProjectionVersion } from './port.js';

const BUILD_NAME = /^([A-Za-z][A-Za-z0-9_-]{0,62})_v(\d{1,9})_(\d{1,9})$/;
const FIELD_NAME = /^[A-Za-z][A-Za-z0-9]{0,62}$/;

/** Returns the name of a build. The builds of each projection version are numbered from 1. */
export const buildName = ({ name, version }: ProjectionVersion, number: number): BuildName =>
  `${name}_v${version}_${number}`;

/**
 * Splits the name of a build into its parts. A name is checked here before it becomes part of a store's statement.
 * Throws `TypeError` for anything but `<projection>_v<version>_<n>`.
 */
export function parsedBuild(build: string): { name: string; version: number; number: number } {
  const [, name, version, number] = BUILD_NAME.exec(build) ?? [];
  if (name === undefined) throw new TypeError(`${JSON.stringify(build)} is not the name of a build`);
  return { name, version: Number(version), number: Number(number) };
}

/**
 * Returns the field name unchanged. Throws `TypeError` if the name could mean something else in a store's statement.
 */
export function checkedField(field: string): string {
  if (!FIELD_NAME.test(field)) throw new TypeError(`${JSON.stringify(field)} is not a field that can be indexed`);
  return field;
}
