import fc from 'fast-check';
import { v5 } from 'uuid';
import { uuidV5 } from '#events';

describe('An id that derives from a name', () => {
  it('is the one of RFC 9562, appendix A.4', () => {
    const dns = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
    expect(uuidV5('www.example.com', dns)).toBe('2ed6657d-e927-568b-95e1-2665a8aea6a2');
  });

  it('equals the result of another implementation for any name and namespace', () => {
    const name = fc.string({ unit: 'binary' });
    fc.assert(fc.property(name, fc.uuid(), (text, namespace) => uuidV5(text, namespace) === v5(text, namespace)));
  });

  it('needs a namespace that is a UUID', () => {
    expect(() => uuidV5('name', 'clients')).toThrow(TypeError);
  });
});
