import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  currentVersion,
  eventIdOf,
  hashOf,
  type JsonObject,
  type LogEventType,
  type RecordedEvent,
  redact,
  storedVersions,
  upcast,
} from '#events';

interface Golden {
  readonly event: Omit<RecordedEvent, 'revision'> & { readonly revision: string };
  /** The event's data, upcast to the current version. */
  readonly upcast: JsonObject;
}

const FOLDER = join(__dirname, 'golden');

const read = (file: string): { event: RecordedEvent; current: JsonObject } => {
  const golden = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Golden;
  return { event: { ...golden.event, revision: BigInt(golden.event.revision) }, current: golden.upcast };
};

describe('Events that were stored by any version of this software', () => {
  const files = readdirSync(FOLDER);

  it('have exactly one golden file for each type and version', () => {
    const registered = storedVersions().map(({ type, schemaVersion }) => `${type}.v${schemaVersion}.golden.json`);
    expect([...files].sort()).toEqual(registered.sort());
  });

  it.each(files)('%s is read', (file) => {
    const { event, current } = read(file);
    expect(file).toBe(`${event.type}.v${event.metadata.schemaVersion}.golden.json`);
    expect(upcast(event)).toEqual({ ...event, data: current });
  });

  it.each(files)('%s has its hash and its id, stored or redacted', (file) => {
    const { event } = read(file);
    expect(hashOf(event)).toBe(event.metadata.hash);
    expect(hashOf(redact(event))).toBe(event.metadata.hash);
    expect(eventIdOf(event.metadata.commandId, 0, event.type, event.data)).toBe(event.eventId);
  });

  it('reach the version that is written today', () => {
    const newest = new Map(storedVersions().map(({ type, schemaVersion }) => [type, schemaVersion]));
    for (const [type, schemaVersion] of newest) expect(currentVersion(type as LogEventType)).toBe(schemaVersion);
  });
});
