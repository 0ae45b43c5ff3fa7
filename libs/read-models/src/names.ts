const BUILD_NAME = /^([A-Za-z][A-Za-z0-9_-]{0,62})_v(\d{1,9})_(\d{1,9})$/;
const FIELD_NAME = /^[A-Za-z][A-Za-z0-9]{0,62}$/;

/** For what goes into a store's statements. Throws `TypeError` for anything but `<projection>_v<version>_<n>`. */
export function parsedBuild(build: string): { name: string; version: number; number: number } {
  const [, name, version, number] = BUILD_NAME.exec(build) ?? [];
  if (name === undefined) throw new TypeError(`${JSON.stringify(build)} is not the name of a build`);
  return { name, version: Number(version), number: Number(number) };
}

/** The same field. Throws `TypeError` for one whose name means more than itself to a store. */
export function checkedField(field: string): string {
  if (!FIELD_NAME.test(field)) throw new TypeError(`${JSON.stringify(field)} is not a field that can be indexed`);
  return field;
}
