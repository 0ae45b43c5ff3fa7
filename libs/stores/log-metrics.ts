import { Counter, Gauge } from 'prom-client';
import type { BookOfRecord } from '#event-log';
import type { Registry } from '#platform/without-http';

/** Adds the metrics of the event log. `current` returns the log's book of record, or `undefined` until it is open. */
export function addLogMetrics(registry: Registry, current: () => { readonly book: BookOfRecord } | undefined): void {
  addClockMetric(registry, () => current()?.book.log.clockBehindMs ?? 0);
  addSnapshotMetric(registry, () => current()?.book.snapshotWrites.failures ?? 0);
  addHistoryMetrics(registry, () => current()?.book);
}

function addHistoryMetrics(registry: Registry, current: () => BookOfRecord | undefined): void {
  const addGauge = (name: string, help: string, value: (book: BookOfRecord) => number) =>
    new Gauge({
      ...{ name, help, registers: [registry] },
      collect() {
        const book = current();
        this.set(book ? value(book) : 0);
      },
    });
  addGauge(
    'event_log_streams_with_missing_events',
    'Number of streams that this process has read and whose events are missing, without quarantined ones',
    ({ log, quarantines }) => log.missingHistory.except(quarantines.lastKnown).length,
  );
  addGauge('event_log_restored', '1 while the event log is restored to an older state and not adopted', ({ log }) =>
    log.restored ? 1 : 0,
  );
  addGauge(
    'event_log_cut_streams',
    'Number of streams from which EventStoreDB cuts events, now or later',
    ({ log }) => log.missingHistory.cutCount,
  );
  addGauge(
    'event_log_quarantined_streams',
    'Number of streams that an operator has quarantined',
    ({ quarantines }) => quarantines.lastKnown.size,
  );
}

const addClockMetric = (registry: Registry, clockBehindMs: () => number): Gauge =>
  new Gauge({
    name: 'event_log_clock_behind_seconds',
    help: "How far this process's clock is behind the latest time that an event of the log carries",
    registers: [registry],
    collect() {
      this.set(clockBehindMs() / 1000);
    },
  });

const addSnapshotMetric = (registry: Registry, failures: () => number): Counter =>
  new Counter({
    name: 'event_log_snapshot_failures_total',
    help: 'Snapshots of long streams that could not be written',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(failures());
    },
  });
