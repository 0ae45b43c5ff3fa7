import { LONG_AGO, momentNow, msSince } from '#event-log';

afterEach(() => jest.restoreAllMocks());

const setClocks = (monotonic: number, wall: number) => {
  jest.spyOn(performance, 'now').mockReturnValue(monotonic);
  jest.spyOn(Date, 'now').mockReturnValue(wall);
};

describe('the time since a moment', () => {
  it('is the same by both clocks as a rule', () => {
    setClocks(5_000, 1_000_000);
    const moment = momentNow();
    expect(msSince(moment)).toBe(0);
    setClocks(5_300, 1_000_300);
    expect(msSince(moment)).toBe(300);
  });

  it('goes on by the wall clock while the monotonic clock stands still, as in a suspended virtual machine', () => {
    setClocks(5_000, 1_000_000);
    const moment = momentNow();
    setClocks(5_000, 1_060_000);
    expect(msSince(moment)).toBe(60_000);
  });

  it('goes on by the monotonic clock when the wall clock is set back', () => {
    setClocks(5_000, 1_000_000);
    const moment = momentNow();
    setClocks(5_300, 400_000);
    expect(msSince(moment)).toBe(300);
  });

  it('is infinite since the moment before all others', () => {
    expect(msSince(LONG_AGO)).toBe(Infinity);
  });
});
