import { LogUnavailable } from '#event-log';
import { Deadline } from './deadline.js';
import { Slots } from './slots.js';

describe('places on a connection', () => {
  const patient = () => new Deadline(10_000);
  const order: string[] = [];
  const take = (slots: Slots, name: string, options?: { isUrgent: boolean }) =>
    slots.take(patient(), options).then(() => order.push(name));
  beforeEach(() => {
    order.length = 0;
  });

  it('are given to those who wait in the order in which they came, the urgent ones first', async () => {
    const slots = new Slots(1);
    await slots.take(patient());
    const waiting = [
      take(slots, 'a read'),
      take(slots, 'another read'),
      take(slots, 'a fence', { isUrgent: true }),
      take(slots, 'another fence', { isUrgent: true }),
    ];
    for (const next of waiting) {
      slots.release();
      await Promise.race(waiting.filter((other) => other !== next).concat(next));
    }
    await Promise.all(waiting);
    expect(order).toEqual(['a fence', 'another fence', 'a read', 'another read']);
  });

  it('are not waited for past the deadline, and not lost by who gave up', async () => {
    const slots = new Slots(1);
    await slots.take(patient());
    await expect(slots.take(new Deadline(20))).rejects.toThrow(LogUnavailable);
    await expect(slots.take(new Deadline(20), { isUrgent: true })).rejects.toThrow(LogUnavailable);
    const next = take(slots, 'the next');
    slots.release();
    await next;
    slots.release();
    await slots.take(new Deadline(20));
  });
});
