import { LogUnavailable } from '#event-log';
import { Deadline } from './deadline.js';
import { Semaphore } from './semaphore.js';

describe('the permits of a semaphore', () => {
  const farDeadline = () => new Deadline(10_000);
  const order: string[] = [];
  const take = (semaphore: Semaphore, name: string, options?: { isUrgent: boolean }) =>
    semaphore.acquire(farDeadline(), options).then(() => order.push(name));
  beforeEach(() => {
    order.length = 0;
  });

  it('are given to waiters in order of arrival, urgent ones first', async () => {
    const semaphore = new Semaphore(1);
    await semaphore.acquire(farDeadline());
    const waiting = [
      take(semaphore, 'a read'),
      take(semaphore, 'another read'),
      take(semaphore, 'a fence', { isUrgent: true }),
      take(semaphore, 'another fence', { isUrgent: true }),
    ];
    for (const next of waiting) {
      semaphore.release();
      await Promise.race(waiting.filter((other) => other !== next).concat(next));
    }
    await Promise.all(waiting);
    expect(order).toEqual(['a fence', 'another fence', 'a read', 'another read']);
  });

  it('are not awaited past the deadline, and not lost if a waiter gives up', async () => {
    const semaphore = new Semaphore(1);
    await semaphore.acquire(farDeadline());
    await expect(semaphore.acquire(new Deadline(20))).rejects.toThrow(LogUnavailable);
    await expect(semaphore.acquire(new Deadline(20), { isUrgent: true })).rejects.toThrow(LogUnavailable);
    const next = take(semaphore, 'the next');
    semaphore.release();
    await next;
    semaphore.release();
    await semaphore.acquire(new Deadline(20));
  });
});
