import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { canonicalJson, NotCanonical } from '#events';

const double = (hex: string) => Buffer.from(hex, 'hex').readDoubleBE();

describe('Canonical JSON', () => {
  // RFC 8785, appendix B
  it.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['ffefffffffffffff', '-1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['44b52d02c7e14af7', '1.0000000000000001e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555554', '333333333.33333325'],
    ['41b3de4355555555', '333333333.3333333'],
    ['41b3de4355555556', '333333333.3333334'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ])('writes the double %s as %s', (hex, text) => {
    expect(canonicalJson(double(hex))).toBe(text);
  });

  // RFC 8785, 3.2.2 and 3.2.4
  it('writes literals, numbers and strings in their only form', () => {
    const sample = {
      numbers: [333333333.33333329, 1e30, 4.5, 2e-3, 0.000000000000000000000000001], // eslint-disable-line no-loss-of-precision
      string: '\u20ac$\u000f\u000aA\'\u0042\u0022\u005c\\"/',
      literals: [null, true, false],
    };
    expect(canonicalJson(sample)).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  // RFC 8785, 3.2.3
  it('sorts fields by their UTF-16 code units, at every depth', () => {
    const names = ['\u20ac', '\r', '\ufb33', '1', '\ud83d\ude00', '\u0080', '\u00f6'];
    const sorted = ['\r', '1', '\u0080', '\u00f6', '\u20ac', '\ud83d\ude00', '\ufb33'];
    const fieldsOf = (order: string[]) => `{${order.map((name) => `${JSON.stringify(name)}:0`).join(',')}}`;
    const inner = Object.fromEntries(names.map((name) => [name, 0]));
    expect(canonicalJson([{ z: inner, a: inner }])).toBe(`[{"a":${fieldsOf(sorted)},"z":${fieldsOf(sorted)}}]`);
  });

  it('leaves out the same fields as JSON', () => {
    expect(canonicalJson({ b: undefined, a: 1 })).toBe('{"a":1}');
  });

  it('equals the result of another implementation for any JSON', () => {
    const json = fc.jsonValue({ stringUnit: 'binary' });
    fc.assert(
      fc.property(json, (value) => canonicalJson(value) === canonicalize(value)),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['NaN', NaN],
    ['an infinity', [-Infinity]],
    ['a bigint', { revision: 1n }],
    ['nothing', undefined],
    ['half a surrogate pair', { name: 'broken \ud83d' }],
    ['half a surrogate pair behind a backslash', 'broken \\\ud83d'],
    ['half a surrogate pair in a name', { '\udead': 1 }],
  ])('has no form for %s', (_, value) => {
    expect(() => canonicalJson(value)).toThrow(NotCanonical);
  });

  it('accepts text that only looks like half a surrogate pair', () => {
    expect(canonicalJson('\\ud83d \\\\udead')).toBe(String.raw`"\\ud83d \\\\udead"`);
  });
});
