import { Changes } from './changes.js';

describe('the first of two logs that share a counter', () => {
  let version: bigint;
  let counter: Int32Array<SharedArrayBuffer>;
  let changes: Changes;
  beforeEach(() => {
    version = 1n;
    counter = new Int32Array(new SharedArrayBuffer(4));
    changes = new Changes({ version: () => version }, counter, 'first');
  });
  afterEach(() => {
    changes.close();
  });

  const ended = AbortSignal.abort();

  it('raises it for a version that its own follower finds before the next poll', async () => {
    await changes.since(1n, ended);
    const before = Atomics.load(counter, 0);
    version = 2n;
    await changes.since(1n, new AbortController().signal);
    expect(Atomics.load(counter, 0)).toBe(before + 1);
  });

  it('raises it for a version that its own follower has read already, and once only', async () => {
    await changes.since(1n, ended);
    const before = Atomics.load(counter, 0);
    version = 2n;
    await changes.since(2n, ended);
    await changes.since(2n, ended);
    expect(Atomics.load(counter, 0)).toBe(before + 1);
  });
});
