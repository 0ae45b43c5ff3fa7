import fc from 'fast-check';
import { gramsIn, gramsOf } from '#read-models';

describe('the grams of a text', () => {
  it('are its substrings of one to three code points, each once', () => {
    expect(gramsOf('abab')).toEqual(['a', 'ab', 'aba', 'b', 'ba', 'bab']);
    expect(gramsOf('😀é')).toEqual(['😀', '😀é', 'é']);
    expect(gramsOf('')).toEqual([]);
  });

  it('are in every text that contains the searched one, however few are asked for', () => {
    const text = fc.string({ unit: 'binary', maxLength: 12 });
    fc.assert(
      fc.property(text, text, text, fc.integer({ min: 1, max: 9 }), (before, searched, behind, limit) => {
        const grams = gramsIn(searched, limit);
        expect(grams.length).toBeLessThanOrEqual(limit);
        expect(gramsOf(before + searched + behind)).toEqual(expect.arrayContaining(grams));
        expect(grams.length > 0).toBe(searched !== '');
      }),
    );
  });

  it('are as long as they can be, and from all over the text, because these are the rarest', () => {
    expect(gramsIn('ab', 8)).toEqual(['ab']);
    expect(gramsIn('abcd', 8)).toEqual(['abc', 'bcd']);
    expect(gramsIn('abcdefgh', 2)).toEqual(['abc', 'def']);
  });
});
