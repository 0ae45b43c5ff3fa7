import { setTimeout as delay } from 'node:timers/promises';
import { LogRefused, LogUnavailable } from '#event-log';
import { createLogger, StoreOutages } from '#platform';
import { PendingStore, type PendingStoreOptions } from './pending-store.js';

const pendingStore = (options: Partial<PendingStoreOptions<string>>) =>
  new PendingStore<string>({
    name: 'event log',
    open: () => Promise.reject(new LogUnavailable('Nobody is there')),
    check: () => Promise.resolve(),
    close: () => Promise.resolve(),
    unavailable: () => new LogUnavailable('Not yet'),
    outages: new StoreOutages(createLogger('silent')),
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
  it('is awaited, and closed when its process ends', async () => {
    let comes = false;
    const closed: string[] = [];
    const store = pendingStore({
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

  it('tells once why it is waited for, and each other reason for which an operator must act', async () => {
    const told: (string | undefined)[] = [];
    const write = (line: string) => told.push((JSON.parse(line) as { err?: { message: string } }).err?.message);
    const errors = [
      new LogUnavailable('Nobody is there'),
      new LogUnavailable('Nobody has answered'),
      new LogRefused('The password is wrong'),
      new LogRefused('The password is wrong'),
      new LogRefused('A right is missing'),
    ];
    const store = pendingStore({
      outages: new StoreOutages(createLogger('warn', { write })),
      open: () => {
        const error = errors.shift();
        return error ? Promise.reject(error) : Promise.resolve('the log');
      },
    });
    await expect(store.check()).rejects.toThrow('is being opened');
    await store.opened;
    expect(told).toEqual(['Nobody is there', 'The password is wrong', 'A right is missing']);
    await store.close();
  });

  it('does not make the start fail if its process no longer waits for it', async () => {
    const tried: Promise<never>[] = [];
    const store = pendingStore({
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

  it('is closed at once if it comes when its process ends', async () => {
    let arrive: (store: string) => void = () => undefined;
    const closed: string[] = [];
    const store = pendingStore({
      open: () => new Promise((resolve) => (arrive = resolve)),
      close: (opened) => Promise.resolve(void closed.push(opened)),
    });
    const closing = store.close();
    // `close` must wait for the store that is being opened. Otherwise the process could end earlier and tear down the
    // store's threads.
    expect(await settled(closing)).toBe('pending');
    arrive('the log');
    await closing;
    expect(closed).toEqual(['the log']);
    expect(await settled(store.opened)).toBe('pending');
  });

  it('makes the start fail if waiting can’t help', async () => {
    const store = pendingStore({ open: () => Promise.reject(new TypeError('Not a connection string')) });
    await expect(store.opened).rejects.toThrow(TypeError);
  });
});
