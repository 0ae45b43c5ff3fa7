import { AcceptanceHistory, type Verdict } from './acceptance-history.js';

/** The current time of the monotonic clock (`performance.now()`), set by the test. */
let now: number;
let history: AcceptanceHistory;
beforeEach(() => {
  jest.spyOn(performance, 'now').mockImplementation(() => now);
  history = new AcceptanceHistory();
});
afterEach(() => {
  jest.restoreAllMocks();
});

type Span = readonly [beganAt: number, endedAt: number];

const during = async <T>([beganAt, endedAt]: Span, work: (done: () => void) => Promise<T>): Promise<T> => {
  now = beganAt;
  return work(() => (now = endedAt));
};
const call = (span: Span, verdict: Verdict, ...premises: string[]) =>
  during(span, (done) =>
    history.call('call', premises, () => {
      done();
      return Promise.resolve({ verdict });
    }),
  );
const end = (span: Span, premise: string) =>
  during(span, (done) =>
    history.end(premise, () => {
      done();
      return Promise.resolve();
    }),
  );

test('a call that began before the acknowledgement may be accepted or refused', async () => {
  await end([10, 20], 'client');
  await call([5, 30], 'accepted', 'client');
  await call([19, 30], 'accepted', 'client');
  await call([5, 11], 'refused', 'client');
  expect([history.acceptedLate(), history.refusedEarly(), history.late]).toEqual([[], [], []]);
});

test('a call that began after the acknowledged end of any of its premises must not be accepted', async () => {
  await end([10, 20], 'client');
  await call([21, 22], 'refused', 'client', 'credential');
  await call([21, 22], 'unavailable', 'client', 'credential');
  expect(history.acceptedLate()).toEqual([]);
  await call([21, 22], 'accepted', 'client', 'credential');
  await call([21, 22], 'accepted', 'credential');
  expect(history.acceptedLate()).toEqual([
    { what: 'call', verdict: 'accepted', premises: ['client', 'credential'], beganAt: 21, endedAt: 22 },
  ]);
  expect(history.late).toHaveLength(3);
});

test('premises that are known only from the answer count as well', async () => {
  await end([10, 20], 'token');
  now = 21;
  const decision = { verdict: 'accepted', premises: ['token'] } as const;
  await history.call('login', ['client'], () => Promise.resolve(decision));
  expect(history.acceptedLate()).toHaveLength(1);
});

test('a call that was answered before any end began must not be refused', async () => {
  await end([10, 20], 'client');
  await call([5, 9], 'unavailable', 'client');
  expect(history.refusedEarly()).toEqual([]);
  await call([5, 9], 'refused', 'client');
  await call([21, 22], 'refused', 'another client');
  expect(history.refusedEarly()).toHaveLength(2);
});

test('an end that was never acknowledged allows both', async () => {
  now = 10;
  await expect(history.end('client', () => Promise.reject(new Error('unknown outcome')))).rejects.toThrow();
  await call([20, 21], 'accepted', 'client');
  await call([22, 23], 'refused', 'client');
  expect([history.acceptedLate(), history.refusedEarly(), history.ended]).toEqual([[], [], 0]);
});

test('a bound allows calls that began within it, and the delays say how much of it was used', async () => {
  await end([10, 20], 'client');
  await end([10, 20], 'other');
  await call([50, 51], 'accepted', 'client');
  expect(history.acceptedLate(30)).toEqual([]);
  expect(history.acceptedLate(29)).toHaveLength(1);
  await call([60, 61], 'refused', 'client');
  await call([25, 26], 'refused', 'other');
  expect(history.denialDelays('call')).toEqual([0, 30]);
  expect(history.denialDelays('another kind of call')).toEqual([]);
});
