import {
  compromisedKids,
  nextSigningKey,
  PUBLISHED_BEFORE_SIGNING_SECONDS,
  secondsAfter,
  signingKey,
  signingKeys,
  type SigningKeysEvent,
} from '#domain';
import { fold, specification } from '../../test/support/events/given.js';

const given = specification(signingKeys);

const START = '2026-03-01T08:00:00.000Z';
const after = (seconds: number) => secondsAfter(START, seconds);
const MATERIAL = { alg: 'EdDSA', publicJwk: { kty: 'OKP' }, masterKeyId: 'mk-1', wrappedKey: 'wrapped-1' } as const;

const checkRecorded = (masterKeyId: string): SigningKeysEvent => ({
  type: 'MasterKeyCheckRecorded',
  data: { masterKeyId, check: `check of ${masterKeyId}`, recordedAt: START },
});
const published = (kid: string, publishedAt = START): SigningKeysEvent => ({
  type: 'SigningKeyPublished',
  data: { kid, ...MATERIAL, publishedAt },
});
const activated = (kid: string, activatedAt = START): SigningKeysEvent => ({
  type: 'SigningKeyActivated',
  data: { kid, activatedAt },
});
const retired = (kid: string, retiredAt = START): SigningKeysEvent => ({
  type: 'SigningKeyRetired',
  data: { kid, retiredAt },
});
const compromised = (kid: string, compromisedAt = START): SigningKeysEvent => ({
  type: 'SigningKeyCompromised',
  data: { kid, compromisedAt },
});
const rewrapped = (kid: string, masterKeyId: string, wrappedKey: string): SigningKeysEvent => ({
  type: 'SigningKeyRewrapped',
  data: { kid, masterKeyId, wrappedKey },
});

const recordCheck = (masterKeyId: string) =>
  ({ type: 'RecordMasterKeyCheck', masterKeyId, check: `check of ${masterKeyId}`, at: START }) as const;
const publish = (kid: string, at = START) => ({ type: 'PublishSigningKey', kid, ...MATERIAL, at }) as const;
const activate = (kid: string, at = START) => ({ type: 'ActivateSigningKey', kid, at }) as const;
const compromise = (kid: string, at = START) => ({ type: 'CompromiseSigningKey', kid, at }) as const;
const rewrap = (kid: string, masterKeyId: string, wrappedKey: string) =>
  ({ type: 'RewrapSigningKey', kid, masterKeyId, wrappedKey, at: START }) as const;

it('is one ring, in one stream', () => {
  expect(signingKeys.stream()).toBe('signingKeys');
});

describe("recording a master key's check value", () => {
  it('happens once for each master key', () => {
    given().when(recordCheck('mk-1')).then(checkRecorded('mk-1'));
    given(checkRecorded('mk-1')).when(recordCheck('mk-1')).thenNothing();
    given(checkRecorded('mk-1')).when(recordCheck('mk-2')).then(checkRecorded('mk-2'));
  });

  it('keeps every recorded value', () => {
    expect(fold(signingKeys, [checkRecorded('mk-1'), checkRecorded('mk-2')]).masterKeyChecks).toEqual([
      { masterKeyId: 'mk-1', check: 'check of mk-1' },
      { masterKeyId: 'mk-2', check: 'check of mk-2' },
    ]);
  });
});

describe('publishing a key', () => {
  it('adds it to the ring, signing nothing yet', () => {
    given().when(publish('k1')).then(published('k1'));
    expect(signingKey(fold(signingKeys, [published('k1')]))).toBeUndefined();
  });

  it('is refused under a kid that was ever published', () => {
    given(published('k1')).when(publish('k1')).thenRefused('signing_key_exists', 'kid');
    given(published('k1'), compromised('k1')).when(publish('k1')).thenRefused('signing_key_exists', 'kid');
  });
});

describe('activating a key', () => {
  const ready = after(PUBLISHED_BEFORE_SIGNING_SECONDS);
  const ring = [published('k1'), activated('k1'), published('k2')] as const;

  it('lets the first key sign at once', () => {
    given(published('k1')).when(activate('k1')).then(activated('k1'));
  });

  it('retires the former signing key in the same decision', () => {
    given(...ring)
      .when(activate('k2', ready))
      .then(retired('k1', ready), activated('k2', ready));
    expect(signingKey(fold(signingKeys, [...ring, retired('k1', ready), activated('k2', ready)]))?.kid).toBe('k2');
  });

  it("waits for twice the JWKS's max-age, 600 s, while another key signs", () => {
    given(...ring)
      .when(activate('k2', after(599.999)))
      .thenRefused('signing_key_too_young', 'kid');
    given(...ring)
      .when(activate('k2', after(600)))
      .then(retired('k1', after(600)), activated('k2', after(600)));
  });

  it('does not wait when the key that signed is compromised', () => {
    given(...ring, compromised('k1'))
      .when(activate('k2', after(1)))
      .then(activated('k2', after(1)));
  });

  it('prefers the earlier time of publication, so that a key dated in the future does not hold up a later one', () => {
    const past = [published('k1'), activated('k1'), published('k2', after(86_400)), published('k3')];
    expect(nextSigningKey(fold(signingKeys, past))?.kid).toBe('k3');
    expect(nextSigningKey(fold(signingKeys, past.slice(0, 3)))?.kid).toBe('k2');
  });

  it('never dates the retirement of a key before its activation, though the clock is behind', () => {
    const past = [published('k1'), activated('k1', after(5000)), published('k2')];
    given(...past)
      .when(activate('k2', ready))
      .then(retired('k1', after(5000)), activated('k2', ready));
  });

  it('changes nothing when it signs already', () => {
    given(published('k1'), activated('k1')).when(activate('k1')).thenNothing();
  });

  it('is refused for a key that has retired or is compromised', () => {
    given(...ring, retired('k1'), activated('k2'))
      .when(activate('k1', ready))
      .thenRefused('signing_key_not_published', 'kid');
    given(published('k1'), compromised('k1')).when(activate('k1')).thenRefused('signing_key_not_published', 'kid');
  });

  it('is refused for an unknown key', () => {
    given().when(activate('k1')).thenRefused('signing_key_not_found', 'kid');
  });
});

describe('declaring a key compromised', () => {
  it.each<[string, SigningKeysEvent[]]>([
    ['published', [published('k1')]],
    ['signing', [published('k1'), activated('k1')]],
    ['retired', [published('k1'), activated('k1'), published('k2'), retired('k1'), activated('k2')]],
  ])('is possible for a %s one', (_status, past) => {
    given(...past)
      .when(compromise('k1', after(1)))
      .then(compromised('k1', after(1)));
    const state = fold(signingKeys, [...past, compromised('k1', after(1))]);
    expect(compromisedKids(state)).toEqual(['k1']);
    expect(signingKey(state)?.kid).not.toBe('k1');
  });

  it('lets the next key sign in the same decision, however young it is', () => {
    given(published('k1'), activated('k1'), published('k2', after(1)), published('k3', after(2)))
      .when(compromise('k1', after(3)))
      .then(compromised('k1', after(3)), activated('k2', after(3)));
  });

  it('does not change the signing key when another key is compromised', () => {
    given(published('k1'), activated('k1'), published('k2'), published('k3'))
      .when(compromise('k2', after(1)))
      .then(compromised('k2', after(1)));
  });

  it('happens once', () => {
    given(published('k1'), compromised('k1'))
      .when(compromise('k1', after(1)))
      .thenNothing();
  });

  it('is refused for an unknown key', () => {
    given(published('k1')).when(compromise('k2')).thenRefused('signing_key_not_found', 'kid');
  });
});

describe('rewrapping a key under another master key', () => {
  it('replaces the wrapped form and the master key id, and nothing else', () => {
    given(published('k1'))
      .when(rewrap('k1', 'mk-2', 'wrapped-2'))
      .then(rewrapped('k1', 'mk-2', 'wrapped-2'));
    expect(fold(signingKeys, [published('k1'), activated('k1'), rewrapped('k1', 'mk-2', 'wrapped-2')]).keys).toEqual([
      {
        ...{ kid: 'k1', ...MATERIAL, masterKeyId: 'mk-2', wrappedKey: 'wrapped-2', status: 'SIGNING' },
        ...{ publishedAt: START, activatedAt: START },
      },
    ]);
  });

  it('changes nothing if that master key wraps it already', () => {
    given(published('k1'))
      .when(rewrap('k1', 'mk-1', 'wrapped anew'))
      .thenNothing();
  });

  it('is refused for an unknown key', () => {
    given()
      .when(rewrap('k1', 'mk-2', 'wrapped-2'))
      .thenRefused('signing_key_not_found', 'kid');
  });
});

it('fails loudly on an event of a key that was never published', () => {
  expect(() => fold(signingKeys, [activated('k1')])).toThrow('k1 before its publication');
});
