import { Counter, Gauge } from 'prom-client';
import type { BookOfRecord } from '#event-log';
import type { Registry } from '#platform/without-http';
import { findingsOf, type LogFindings, NO_FINDINGS } from './log-findings.js';

/**
 * Adds the metrics of the event log. `current` returns the log's book of record, or `undefined` until it is open.
 * `ofSecondary` returns the findings of the process's other log, if it has another one.
 */
export function addLogMetrics(
  registry: Registry,
  current: () => { readonly book: BookOfRecord } | undefined,
  ofSecondary: () => Promise<LogFindings> = () => Promise.resolve(NO_FINDINGS),
): void {
  const findings = async () => {
    const book = current()?.book;
    return [book ? findingsOf(book) : NO_FINDINGS, await ofSecondary()];
  };
  addClockMetric(registry, () => current()?.book.log.clockBehindMs ?? 0);
  addSnapshotMetric(registry, findings);
  addMissingMetric(registry, findings);
  addHistoryMetrics(registry, () => current()?.book);
}

const addMissingMetric = (registry: Registry, findings: () => Promise<readonly LogFindings[]>): Gauge =>
  new Gauge({
    name: 'event_log_streams_with_missing_events',
    help: 'Number of streams that this process has read and whose events are missing, without quarantined ones',
    registers: [registry],
    async collect() {
      this.set(new Set((await findings()).flatMap(({ missing }) => missing)).size);
    },
  });

function addHistoryMetrics(registry: Registry, current: () => BookOfRecord | undefined): void {
  const addGauge = (name: string, help: string, value: (book: BookOfRecord) => number) =>
    new Gauge({
      ...{ name, help, registers: [registry] },
      collect() {
        const book = current();
        this.set(book ? value(book) : 0);
      },
    });
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

const addSnapshotMetric = (registry: Registry, findings: () => Promise<readonly LogFindings[]>): Counter =>
  new Counter({
    name: 'event_log_snapshot_failures_total',
    help: 'Snapshots of long streams that could not be written',
    registers: [registry],
    async collect() {
      const failures = (await findings()).map(({ snapshotFailures }) => snapshotFailures);
      this.reset();
      this.inc(failures.reduce((sum, each) => sum + each, 0));
    },
  });
