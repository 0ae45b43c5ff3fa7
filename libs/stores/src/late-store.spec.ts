import { setTimeout as delay } from 'node:timers/promises';
import { LogUnavailable } from '#event-log';
import { createLogger } from '#platform';
import { LateStore, type LateStoreOptions } from './late-store.js';

const lateStore = (options: Partial<LateStoreOptions<string>>) =>
  new LateStore<string>({
    name: 'event log',
    open: () => Promise.reject(new LogUnavailable('Nobody is there')),
    check: () => Promise.resolve(),
    close: () => Promise.resolve(),
    unavailable: () => new LogUnavailable('Not yet'),
    logger: createLogger('silent'),
    ...options,
  });

const settled = (promise: Promise<unknown>) =>
  Promise.race([
    promise.then(
      () => 'resolved',
      () => 'rejected',
    ),
    delay(100, 'pending'),
  ]);

describe('a store that comes late', () => {
  it('is waited for, and closed when its process ends', async () => {
    let comes = false;
    const closed: string[] = [];
    const store = lateStore({
      open: () => (comes ? Promise.resolve('the log') : Promise.reject(new LogUnavailable('Nobody is there'))),
      close: (opened) => Promise.resolve(void closed.push(opened)),
    });
    expect(() => store.current).toThrow(LogUnavailable);
    expect(await settled(store.opened)).toBe('pending');
    comes = true;
    expect(await store.opened).toBe('the log');
    expect(store.current).toBe('the log');
    await store.close();
    expect(closed).toEqual(['the log']);
  });

  it('that its process no longer waits for is no failure of its start', async () => {
    const tried: Promise<never>[] = [];
    const store = lateStore({
      open: () => {
        const trying = Promise.reject(new LogUnavailable('Nobody is there'));
        tried.push(trying);
        return trying;
      },
    });
    while (tried.length < 2) await delay(5);
    await store.close();
    expect(await settled(store.opened)).toBe('pending');
  });

  it('that comes when its process ends is closed at once', async () => {
    let arrive: (store: string) => void = () => undefined;
    const closed: string[] = [];
    const store = lateStore({
      open: () => new Promise((resolve) => (arrive = resolve)),
      close: (opened) => Promise.resolve(void closed.push(opened)),
    });
    const closing = store.close();
    // Who ends the process before would tear down the threads of a store that is being opened.
    expect(await settled(closing)).toBe('pending');
    arrive('the log');
    await closing;
    expect(closed).toEqual(['the log']);
    expect(await settled(store.opened)).toBe('pending');
  });

  it('that no waiting helps to get is a failure', async () => {
    const store = lateStore({ open: () => Promise.reject(new TypeError('Not a connection string')) });
    await expect(store.opened).rejects.toThrow(TypeError);
  });
});
