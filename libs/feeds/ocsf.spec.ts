import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isLeaf } from '#event-log';
import { type RecordedEvent, redact } from '#events';
import { cloudEventOf } from './cloud-event.js';
import { isOfFeed } from './event-feed.js';
import { type OcsfEvent, ocsfEventOf } from './ocsf.js';

const EVENTS = join(__dirname, '../events/golden');
const FOLDER = join(__dirname, 'golden');
const ORIGIN = 'hub.example/0195b3f0-5a1e-7c3a-9a51-6b6f0e7d2c11';

interface Stored {
  readonly event: Omit<RecordedEvent, 'revision'> & { readonly revision: string };
}

/** Every version of every event of the feed, as it was stored. */
const events = readdirSync(EVENTS)
  .map((file): RecordedEvent => {
    const { event } = JSON.parse(readFileSync(join(EVENTS, file), 'utf8')) as Stored;
    return { ...event, revision: BigInt(event.revision) };
  })
  .filter(({ stream }) => isOfFeed(stream));

const shown = (recorded: RecordedEvent) => ({
  event: { ...recorded, ...redact(recorded) },
  ...(isLeaf(recorded) && { leafIndex: 7 }),
});

const nameOf = ({ type, metadata }: RecordedEvent) => `${type}.v${metadata.schemaVersion}.golden.json`;

describe('The forms of the feed', () => {
  it('have exactly one golden file for each version of each event', () => {
    expect(readdirSync(FOLDER).sort()).toEqual(events.map(nameOf).sort());
  });

  it.each(events.map((event): [string, RecordedEvent] => [nameOf(event), event]))('%s', (name, event) => {
    const forms = { cloudEvent: cloudEventOf(shown(event), ORIGIN), ocsf: ocsfEventOf(shown(event), ORIGIN) };
    const file = join(FOLDER, name);
    if (process.env.WRITE_GOLDEN === 'true') writeFileSync(file, `${JSON.stringify(forms, undefined, 2)}\n`);
    expect(JSON.parse(JSON.stringify(forms))).toEqual(JSON.parse(readFileSync(file, 'utf8')));
  });

  it('have what OCSF 1.3.0 requires of both classes, and no name of an attribute that CloudEvents forbids', () => {
    const classes = new Set<number>();
    for (const event of events) {
      const ocsf: OcsfEvent = ocsfEventOf(shown(event), ORIGIN);
      expect(ocsf).toMatchObject({
        ...{ category_uid: 3, severity_id: 1, type_uid: ocsf.class_uid * 100 + ocsf.activity_id },
        time: Date.parse(event.metadata.occurredAt),
        metadata: { version: '1.3.0', product: { vendor_name: expect.any(String) as string } },
      });
      if (ocsf.class_uid === 3002) expect(ocsf).toMatchObject({ user: { uid: expect.any(String) as string } });
      else expect(ocsf).toMatchObject({ class_uid: 3004, entity: { uid: expect.any(String) as string } });
      if (ocsf.class_uid === 3002) expect(ocsf.service).toBeDefined();
      classes.add(ocsf.class_uid);
      for (const name of Object.keys(cloudEventOf(shown(event), ORIGIN))) expect(name).toMatch(/^[a-z0-9]{1,20}$/);
    }
    expect([...classes].sort()).toEqual([3002, 3004]);
  });

  it('have no verifier in them', () => {
    for (const event of events) {
      const text = JSON.stringify([cloudEventOf(shown(event), ORIGIN), ocsfEventOf(shown(event), ORIGIN)]);
      expect(text).not.toContain('$argon2');
    }
  });
});
