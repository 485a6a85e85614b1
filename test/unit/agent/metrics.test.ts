import { afterEach, describe, expect, it } from 'vitest';
import { createIdentity } from '../../../src/session/identity.ts';
import { Node, peerText, until } from './lab.ts';

const nodes: Node[] = [];
async function makeNode(): Promise<Node> {
  const node = await Node.make();
  nodes.push(node);
  return node;
}
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
});

async function samples(node: Node): Promise<ReadonlyMap<string, number>> {
  const values = new Map<string, number>();
  for (const line of (await node.client.metrics()).split('\n')) {
    const match = /^([a-z_]+(?:\{[^}]*\})?) (\S+)$/.exec(line);
    if (match !== null) values.set(match[1] ?? '', Number(match[2]));
  }
  return values;
}

describe('metrics', () => {
  it('have the types and names that are documented', async () => {
    const node = await makeNode();
    await node.start();
    await node.ready();
    const text = await node.client.metrics();
    for (const name of [
      'omni_packets_rx_total',
      'omni_packets_tx_total',
      'omni_bytes_rx_total',
      'omni_bytes_tx_total',
      'omni_handshakes_completed_total',
      'omni_handshakes_failed_total',
      'omni_sessions_dropped_ratelimit_total',
      'omni_drops_total',
      'omni_peer_refused_total',
      'omni_control_passed_total',
      'omni_reconcile_passes_total',
      'omni_reconcile_changes_total',
      'omni_reconcile_errors_total',
      'omni_reconcile_drift_healed_total',
      'omni_reconcile_writes_total',
      'omni_drift_total',
      'omni_rollback_total',
    ]) {
      expect(text).toContain(`# TYPE ${name} counter\n`);
    }
    for (const name of [
      'omni_sessions_active',
      'omni_reconcile_pending_rows',
      'omni_contested_rows',
      'omni_drifted_rows',
      'omni_revision_info',
      'omni_lkg_info',
      'omni_probation_seconds',
      'omni_source_age_seconds',
      'omni_source_last_success_timestamp_seconds',
      'omni_build_info',
    ]) {
      expect(text).toContain(`# TYPE ${name} gauge\n`);
    }
    expect(text).toContain('# TYPE omni_reconcile_duration_seconds histogram\n');
    expect(text).toContain('omni_drops_total{reason="replay"} 0\n');
    expect(text).toContain('omni_drift_total{kind="address"} 0\n');
    expect(text).toContain('omni_build_info{version="0.0.0-test"} 1\n');
  });

  it('of the loop and the source move with a commit', async () => {
    const node = await makeNode();
    await node.start();
    await node.ready();
    await until('it was fetched', async () => (await samples(node)).has('omni_source_last_success_timestamp_seconds'));
    const before = await samples(node);
    node.write('robot-2.yaml', peerText('robot-2', createIdentity().publicKey));
    await until('it is applied', async () => (await node.rowKeys()).some((key) => key.startsWith('fdb/')));
    await node.ready();
    const after = await samples(node);
    const moved = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0);
    expect(moved('omni_reconcile_passes_total')).toBeGreaterThan(0);
    expect(moved('omni_reconcile_changes_total{op="create"}')).toBe(2);
    expect(moved('omni_reconcile_changes_total{op="delete"}')).toBe(0);
    expect(moved('omni_reconcile_writes_total')).toBeGreaterThanOrEqual(2);
    expect(moved('omni_reconcile_duration_seconds_count')).toBe(moved('omni_reconcile_passes_total'));
    expect(moved('omni_source_last_success_timestamp_seconds')).toBeGreaterThan(0);
    expect(after.get('omni_reconcile_pending_rows')).toBe(0);
    const revision = (await node.status()).revision.lastApplied?.label;
    expect([...after.keys()].filter((name) => name.startsWith('omni_revision_info'))).toEqual([
      `omni_revision_info{revision="${revision}"}`,
    ]);
  });

  it('of handshakes move with a session, and with a call that has nowhere to go', async () => {
    const one = await makeNode();
    const two = await makeNode();
    one.write('robot-2.yaml', withKeepalive(peerText('robot-2', two.identity.publicKey, `127.0.0.1:${two.port}`)));
    two.write('robot-2.yaml', peerText('robot-2', one.identity.publicKey, `127.0.0.1:${one.port}`));
    one.write('lost.yaml', withKeepalive(peerText('lost', createIdentity().publicKey)));
    await two.start();
    await two.ready();
    await one.start();
    await until('they have a session', async () => (await samples(one)).get('omni_sessions_active') === 1);
    const after = await samples(one);
    expect(after.get('omni_handshakes_completed_total')).toBe(1);
    await until(
      'the lost one is counted',
      async () => ((await samples(one)).get('omni_handshakes_failed_total{reason="no-endpoint"}') ?? 0) > 0,
    );
    expect((await one.objects()).get('peer/robot-2')).toMatchObject({
      detail: { endpoint: `127.0.0.1:${two.port}` },
      session: { current: true, peer: two.identity.publicKey },
    });
    expect((await one.client.sessions())[0]?.localId).toMatch(/^[0-9]+$/);
  });

  it('are served over TCP too', async () => {
    const node = await makeNode();
    const port = node.port; // UDP and TCP ports are apart
    await node.start({ metrics: `127.0.0.1:${port}` });
    const response = await fetch(`http://127.0.0.1:${port}/metrics`);
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(await response.text()).toContain('omni_build_info');
    expect((await fetch(`http://127.0.0.1:${port}/v1/status`)).status).toBe(404);
  });
});

function withKeepalive(text: string): string {
  return text.replace(/(spec: \{ .*) \}\n/, '$1, keepalive: 1s }\n');
}
