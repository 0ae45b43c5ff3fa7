import { createLogger } from './logging.js';
import { observerOfStores, StoreOutages } from './store-outages.js';

class Away extends Error {
  readonly store: string;
  constructor(message: string, store = 'event log') {
    super(message);
    this.store = store;
  }
}

class Refused extends Away {
  readonly needsOperator = true;
}

let lines: string[];
let outages: StoreOutages;
beforeEach(() => {
  lines = [];
  const write = (line: string) => {
    const { level, msg, err } = JSON.parse(line) as { level: string; msg: string; err?: { message: string } };
    lines.push([level, msg, err?.message].filter((part) => part !== undefined).join(': '));
  };
  outages = new StoreOutages(createLogger('info', { write }));
});

const now = () => performance.now();
/** When a check begins that ends an outage. */
const later = () => now() + 3_000;

describe('an outage of a store', () => {
  it('is one warning and one line when it is over, however many parts of the process notice it', () => {
    for (const reason of ['connection refused', 'no answer', 'connection reset']) {
      expect(outages.failed(new Away(reason))).toBe(true);
    }
    outages.passed('event log', later());
    outages.passed('event log', later());
    outages.failed(new Away('gone again'), later());
    expect(lines).toEqual([
      'warn: the event log can’t be used: connection refused',
      'info: the event log can be used again',
      'warn: the event log can’t be used: gone again',
    ]);
  });

  it('is of one store: the other one has its own', () => {
    outages.failed(new Away('gone'));
    outages.failed(new Away('gone, too', 'read store'));
    outages.passed('read store', later());
    expect([outages.isAway('event log'), outages.isAway('read store'), outages.isAway()]).toEqual([true, false, true]);
    expect(lines.slice(1)).toEqual([
      'warn: the read store can’t be used: gone, too',
      'info: the read store can be used again',
    ]);
  });

  it('ends only with a check that was begun three seconds after the last failure', () => {
    const begunAt = now();
    outages.failed(new Away('gone'));
    outages.passed('event log', begunAt + 2_999);
    expect(outages.isAway('event log')).toBe(true);
    outages.passed('event log', later());
    expect(outages.isAway('event log')).toBe(false);
  });

  it('does not begin anew with the answer of a call that was begun before a check that has passed', () => {
    const begunAt = now();
    outages.passed('event log', begunAt + 1);
    outages.failed(new Away('no answer within 2000 ms'), begunAt);
    expect(lines).toEqual([]);
  });

  it('tells each new reason for which an operator must act', () => {
    for (const error of [new Away('gone'), new Refused('wrong password'), new Away('gone'), new Refused('a right')]) {
      outages.failed(error);
    }
    outages.failed(new Refused('wrong password'));
    expect(lines.map((line) => line.split(': ')[2])).toEqual(['gone', 'wrong password', 'a right']);
  });

  it('begins while a store is being opened only if it can’t be opened', () => {
    outages.beginsToOpen('event log');
    expect(outages.failed(new Away('not open yet'))).toBe(true);
    expect([outages.isOpening('event log'), lines]).toEqual([true, []]);
    outages.failedToOpen(new Away('nobody is there'));
    expect([outages.isOpening('event log'), lines]).toEqual([
      false,
      ['warn: the event log can’t be used: nobody is there'],
    ]);
    outages.opened('event log');
    outages.failed(new Away('still starting'));
    outages.passed('event log', now());
    expect(lines.slice(1)).toEqual([]);
    outages.passed('event log', later());
    expect(lines.slice(1)).toEqual(['info: the event log can be used again']);
  });

  it('is no matter of a loop that meets another failure', () => {
    const told: string[] = [];
    const observer = observerOfStores(outages, {
      outageBegan: ({ message }) => told.push(message),
      outageEnded: () => told.push('over'),
    });
    expect(outages.failed(new Error('a conflict'))).toBe(false);
    for (const error of [new Away('gone'), new Error('a conflict')]) {
      observer.outageBegan(error);
      observer.outageEnded();
    }
    expect(told).toEqual(['a conflict', 'over']);
    expect(lines).toEqual(['warn: the event log can’t be used: gone']);
  });
});
