import { createServer } from 'node:http';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { namesOf } from '../reconcile/names.ts';
import { listenTcp } from './listen.ts';
import { messageOf } from './lock.ts';
import type { Parts } from './parts.ts';
import type { MessageCounts } from './peers/mailbox.ts';
import { closeServer } from './server.ts';

/** Seconds: a pass over one changed row takes a millisecond, a cold start with 10,000 peers two seconds. */
const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const LABELS = ['reason', 'peer', 'op', 'kind', 'class', 'revision', 'version', 'type', 'direction'];

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number | bigint];

export interface Metrics {
  /** Prometheus' text format 0.0.4. */
  text(): Promise<string>;
  readonly contentType: string;
  observePass(durationMs: number): void;
  /** From the files of a fetched revision to rows that were read back. */
  observeProgrammed(durationMs: number): void;
}

/**
 * The metrics of docs/operations.md. Those of packets are the data plane's own counts, which survive the agent: they are
 * read when asked for, not added up here.
 */
export function createMetrics(parts: () => Parts): Metrics {
  const registry = new Registry();
  const counter = (name: string, help: string, read: () => readonly Sample[] | Promise<readonly Sample[]>) =>
    registry.registerMetric(absoluteCounter(name, help, read));
  const gauge = (name: string, help: string, read: () => readonly Sample[]) =>
    registry.registerMetric(readGauge(name, help, read));
  packetMetrics(parts, counter);
  sessionMetrics(parts, counter, gauge);
  counter(
    'omni_messages_total',
    "Messages between agents; those received in vain by type 'malformed' and 'over-limit'.",
    () => messageSamples(parts().peers.counts()),
  );
  reconcileMetrics(parts, counter, gauge);
  rolloutMetrics(parts, counter, gauge);
  sourceMetrics(parts, gauge);
  const duration = new Histogram({
    name: 'omni_reconcile_duration_seconds',
    help: 'Duration of completed passes.',
    buckets: DURATION_BUCKETS,
    registers: [registry],
  });
  const programmed = new Histogram({
    name: 'omni_revision_programmed_seconds',
    help: 'From the files of a fetched revision to rows that were read back; gates and probes are in it, git is not.',
    buckets: DURATION_BUCKETS,
    registers: [registry],
  });
  return {
    text: () => registry.metrics(),
    contentType: registry.contentType,
    observePass: (durationMs) => duration.observe(durationMs / 1000),
    observeProgrammed: (durationMs) => programmed.observe(durationMs / 1000),
  };
}

type AddCounter = (name: string, help: string, read: () => readonly Sample[] | Promise<readonly Sample[]>) => void;
type AddGauge = (name: string, help: string, read: () => readonly Sample[]) => void;

function packetMetrics(parts: () => Parts, counter: AddCounter): void {
  const counters = () => parts().dataPlane.counters();
  counter('omni_packets_rx_total', 'Datagrams authenticated and accepted.', async () =>
    one((await counters()).rxPackets),
  );
  counter('omni_packets_tx_total', 'Datagrams sealed and sent.', async () => one((await counters()).txPackets));
  counter('omni_bytes_rx_total', 'Inner bytes received.', async () => one((await counters()).rxBytes));
  counter('omni_bytes_tx_total', 'Inner bytes sent.', async () => one((await counters()).txBytes));
  counter('omni_frames_queued_total', 'Frames handed to the agent for want of a session.', async () =>
    one((await counters()).queued),
  );
  counter('omni_packets_handed_over_total', 'Datagrams opened on another CPU than the one they came in on.', async () =>
    one((await counters()).handedOver),
  );
  counter('omni_control_passed_total', 'Datagrams that reached user space.', async () =>
    one((await counters()).controlPassed),
  );
  counter('omni_neighbours_answered_total', 'ARP and ND requests answered on this node.', async () =>
    one((await counters()).neighboursAnswered),
  );
  counter('omni_drops_total', 'Dropped packets by reason.', async () => byLabel('reason', (await counters()).drops));
  counter('omni_peer_refused_total', 'Dropped frames of authenticated peers, by peer and reason.', async () => {
    const { reconciler, dataPlane } = parts();
    const nameOf = namesOf(...(reconciler.target === undefined ? [] : [reconciler.target.fleet]));
    return (await dataPlane.refusals()).map(({ peer, reason, count }) => [{ peer: nameOf(peer), reason }, count]);
  });
  counter('omni_sessions_dropped_ratelimit_total', 'Handshakes over the per-source limit, dropped.', async () =>
    one((await counters()).drops.ratelimit ?? 0n),
  );
}

function sessionMetrics(parts: () => Parts, counter: AddCounter, gauge: AddGauge): void {
  const stats = () => parts().manager.stats();
  gauge('omni_sessions_active', 'Peers with a session that traffic can use now.', () => one(stats().sessionsActive));
  counter('omni_handshakes_completed_total', 'Handshakes that made a session.', () => one(stats().handshakesCompleted));
  counter('omni_handshakes_failed_total', 'Handshakes that came to nothing, by reason.', () =>
    byLabel('reason', stats().handshakesFailed),
  );
  counter('omni_path_moves_total', 'Times that data to a peer went to another endpoint, by reason.', () =>
    byLabel('reason', stats().pathMoves),
  );
  counter('omni_frames_lost_total', 'Frames that waited for a session in vain.', () => one(stats().framesDropped));
}

function reconcileMetrics(parts: () => Parts, counter: AddCounter, gauge: AddGauge): void {
  const stats = () => parts().reconciler.stats();
  counter('omni_reconcile_passes_total', 'Completed passes.', () => one(stats().passes));
  counter('omni_reconcile_changes_total', 'Changes carried out, by operation.', () => byLabel('op', stats().changes));
  counter('omni_reconcile_errors_total', 'Changes that failed, by class.', () => byLabel('class', stats().errors));
  counter('omni_reconcile_drift_healed_total', 'Rows set right that no commit had changed.', () =>
    one(stats().driftHealed),
  );
  counter('omni_drift_total', 'Rows that no commit had changed and that were found different, by kind of row.', () =>
    byLabel('kind', stats().drift),
  );
  gauge('omni_contested_rows', 'Rows left alone because something else keeps changing them.', () =>
    one(stats().contestedRows),
  );
  gauge('omni_drifted_rows', 'Rows left as they are because the cluster says mode: report.', () =>
    one(stats().driftedRows),
  );
  counter('omni_reconcile_writes_total', 'Writes to kernel objects.', () => one(parts().dataPlane.writes));
  gauge('omni_reconcile_pending_rows', 'Rows not verified yet, or known not to be as desired.', () =>
    one(parts().reconciler.status().rows.pending),
  );
}

function rolloutMetrics(parts: () => Parts, counter: AddCounter, gauge: AddGauge): void {
  counter('omni_rollback_total', 'Revisions that were taken back, by reason.', () =>
    byLabel('reason', parts().rollout.rollbacks()),
  );
  gauge('omni_lkg_info', 'The last known good revision; always 1.', () => {
    const { lastKnownGood } = parts().rollout.state.record;
    return lastKnownGood === undefined ? [] : [[{ revision: lastKnownGood.label }, 1]];
  });
  gauge('omni_probation_seconds', 'How long the trial under way has taken; 0: there is none.', () => {
    const { trial } = parts().rollout.state;
    return one(trial === undefined ? 0 : (parts().now() - Date.parse(trial.startedAt)) / 1000);
  });
}

function sourceMetrics(parts: () => Parts, gauge: AddGauge): void {
  gauge('omni_source_age_seconds', 'Since the source answered last.', () => {
    const { lastFetchMs } = parts().follower.state;
    return lastFetchMs === undefined ? [] : one((parts().now() - lastFetchMs) / 1000);
  });
  gauge('omni_revision_info', 'The newest revision of which every row was verified; always 1.', () => {
    const { applied } = parts().reconciler.status().revision;
    return applied === undefined ? [] : [[{ revision: applied }, 1]];
  });
  gauge('omni_source_last_success_timestamp_seconds', 'When the source answered last.', () => {
    const { lastFetchMs } = parts().follower.state;
    return lastFetchMs === undefined ? [] : [[{}, lastFetchMs / 1000]];
  });
  gauge('omni_build_info', 'Version of the agent; always 1.', () => [[{ version: parts().config.version }, 1]]);
}

function messageSamples({ rx, tx, malformed, overLimit }: MessageCounts): readonly Sample[] {
  const of = (direction: string, counts: Readonly<Record<string, number>>) =>
    Object.entries(counts).map(([type, value]): Sample => [{ type, direction }, value]);
  return [...of('rx', { ...rx, malformed, 'over-limit': overLimit }), ...of('tx', tx)];
}

function one(value: number | bigint): readonly Sample[] {
  return [[{}, value]];
}

function byLabel(label: string, values: Readonly<Record<string, number | bigint>>): readonly Sample[] {
  return Object.entries(values).map(([name, value]) => [{ [label]: name }, value]);
}

/** A counter whose value somebody else counts. */
function absoluteCounter(
  name: string,
  help: string,
  read: () => readonly Sample[] | Promise<readonly Sample[]>,
): Counter {
  return new Counter({
    name,
    help,
    labelNames: LABELS,
    registers: [],
    async collect() {
      const samples = await read();
      this.reset();
      for (const [labels, value] of samples) this.inc(labels, Number(value));
    },
  });
}

function readGauge(name: string, help: string, read: () => readonly Sample[]): Gauge {
  return new Gauge({
    name,
    help,
    labelNames: LABELS,
    registers: [],
    collect() {
      this.reset();
      for (const [labels, value] of read()) this.set(labels, Number(value));
    },
  });
}

/** Serves `GET /metrics` on `host:port`. Throws `metrics-unusable`, exit code 2. Returns what ends it. */
export async function serveMetrics(address: string, metrics: Metrics): Promise<() => Promise<void>> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    metrics.text().then(
      (text) => response.writeHead(200, { 'content-type': metrics.contentType }).end(text),
      (error: unknown) => response.writeHead(500).end(`${messageOf(error)}\n`),
    );
  });
  server.requestTimeout = 10_000;
  server.maxConnections = 32;
  await listenTcp(server, address, {
    what: 'metrics',
    fix: 'Name a free address with --metrics, as in 127.0.0.1:9586.',
  });
  return () => closeServer(server);
}
