import { formatEndpoint } from '../../manifest/endpoint.ts';
import type { DeclaredProbe, EndpointHint, PublicKey } from '../../manifest/model.ts';
import type { Clock } from '../../reconcile/clock.ts';
import type { DataPlane } from '../../reconcile/dataplane.ts';
import type { Probe, Prober } from '../../reconcile/rollout/probe.ts';
import type { Source } from '../../source/source.ts';
import { messageOf } from '../lock.ts';
import { ECHO_MIN_BYTES } from '../peers/codec.ts';
import type { Echo } from '../peers/echo.ts';
import { livePeers } from '../peers/live.ts';
import { probeHttp } from './http.ts';
import { probePing } from './ping.ts';
import { probeTcp } from './tcp.ts';
import { Unmet } from './unmet.ts';

export interface ProberOptions {
  readonly dataPlane: Pick<DataPlane, 'sessions' | 'messages'>;
  readonly echo: Pick<Echo, 'echo'>;
  /** The interface of this node's cluster; undefined: it is in none. */
  readonly interfaceName: () => string | undefined;
  /** `SessionManager.callAt`. */
  readonly callAt: (peer: PublicKey, hints: readonly EndpointHint[], signal: AbortSignal) => Promise<boolean>;
  readonly source: Pick<Source, 'reachable'>;
  readonly setTimer: Clock['setTimer'];
}

/** A handshake where there is no session, a round trip, and a repetition. */
const PEER_TIMEOUT_MS = 3_000;
const ENDPOINT_TIMEOUT_MS = 5_000;
const SOURCE_TIMEOUT_MS = 5_000;

/** Where peers were, by name, when they last answered by a key that was about to be replaced. */
type Sightings = Map<string, { readonly hint: EndpointHint; readonly atMs: number }>;

interface Means extends ProberOptions {
  readonly sightings: Sightings;
}

/** Tries probes on the real node: through its data path, its sessions, its source, its network. */
export function createProber(options: ProberOptions): Prober {
  const means: Means = { ...options, sightings: new Map() };
  return {
    livePeers: async () => [...new Set((await livePeers(options.dataPlane.sessions)).map(({ peer }) => peer))],
    run: (probe, signal) => attempt(means, probe, signal),
  };
}

/** Undefined: it passed. Else why not. */
async function attempt(options: Means, probe: Probe, signal: AbortSignal): Promise<string | undefined> {
  signal.throwIfAborted();
  const timeoutMs = timeoutOf(probe);
  const timeout = new AbortController();
  const cancel = options.setTimer(timeoutMs, () => timeout.abort());
  try {
    await tryOnce(options, probe, AbortSignal.any([signal, timeout.signal]));
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (!timeout.signal.aborted) return messageOf(error);
    return `${error instanceof Unmet ? error.message : 'no answer'} within ${timeoutMs / 1_000} s`;
  } finally {
    cancel();
  }
}

function timeoutOf(probe: Probe): number {
  switch (probe.kind) {
    case 'peer':
      return PEER_TIMEOUT_MS;
    case 'endpoint':
    case 'key':
      return ENDPOINT_TIMEOUT_MS;
    case 'source':
      return SOURCE_TIMEOUT_MS;
    case 'declared':
      return probe.probe.timeoutMs;
  }
}

/** Resolves when the probe passed; ends soon after `signal` is aborted. */
function tryOnce(options: Means, probe: Probe, signal: AbortSignal): Promise<void> {
  switch (probe.kind) {
    case 'peer':
      return tryPeer(options, probe, signal);
    case 'key':
      return tryKey(options, probe, signal);
    case 'endpoint':
      return tryEndpoint(options, probe, signal);
    case 'source':
      return orAborted(options.source.reachable(signal), signal);
    case 'declared':
      return tryDeclared(probe.probe, signal);
  }
}

async function tryPeer(options: Means, probe: Extract<Probe, { kind: 'peer' }>, signal: AbortSignal): Promise<void> {
  const { dataPlane, echo, interfaceName, sightings } = options;
  const { id, peer, name: peerName } = probe;
  const name = interfaceName();
  const size = name === undefined ? 0 : await dataPlane.messages.capacity(name);
  if (name === undefined || size < ECHO_MIN_BYTES) throw new Unmet('this node has no interface to send on');
  try {
    await echo.echo({ interface: name, peer }, size, signal);
  } catch (error) {
    throw signal.aborted ? new Unmet(`no answer to packets of ${size} bytes`) : error;
  }
  const found = id.startsWith('key/') ? await dataPlane.sessions.endpoint(peer) : undefined;
  if (found === undefined) return;
  const { address: host, port } = found.endpoint;
  sightings.set(peerName, { hint: { host, port }, atMs: dataPlane.sessions.now() });
}

/** A peer that this node cannot call, behind a NAT say, may call with its new key itself. */
async function tryKey(
  { dataPlane: { sessions }, callAt, sightings }: Means,
  { peer, name, hints }: Extract<Probe, { kind: 'key' }>,
  signal: AbortSignal,
): Promise<void> {
  const sighting = sightings.get(name);
  const since = sighting?.atMs ?? Number.POSITIVE_INFINITY;
  const made = async (): Promise<boolean> => {
    const states = (await sessions.list()).filter((each) => each.peer === peer && each.createdMs > since);
    return states.some(({ unconfirmed, rxLastMs }) => !unconfirmed && rxLastMs > 0);
  };
  if (await made()) return;
  const present = (await sessions.endpoint(peer))?.endpoint;
  const places = [...hints, ...(sighting === undefined ? [] : [sighting.hint])];
  if (present !== undefined) places.push({ host: present.address, port: present.port });
  const distinct = [...new Map(places.map((place) => [formatEndpoint(place), place])).values()];
  if (distinct.length === 0) throw new Unmet('it has a new key, no endpoint, and did not call with that key');
  if ((await callAt(peer, distinct, signal)) || (await made())) return;
  throw new Unmet(`no answer by its new key to handshakes at ${distinct.map(formatEndpoint).join(', ')}`);
}

async function tryEndpoint(
  { callAt }: ProberOptions,
  { peer, hints }: Extract<Probe, { kind: 'endpoint' }>,
  signal: AbortSignal,
): Promise<void> {
  if (hints.length === 0) throw new Unmet('it has no endpoint');
  if (await callAt(peer, hints, signal)) return;
  throw new Unmet(`no answer to handshakes at ${hints.map(formatEndpoint).join(', ')}`);
}

function tryDeclared(probe: DeclaredProbe, signal: AbortSignal): Promise<void> {
  switch (probe.kind) {
    case 'tcp':
      return probeTcp(probe, signal);
    case 'http':
      return probeHttp(probe, signal);
    case 'ping':
      return probePing(probe, signal);
  }
}

/** For work that minds its signal in its own time. */
async function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let giveUp = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    giveUp = () => reject(signal.reason as Error);
    signal.addEventListener('abort', giveUp, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}
