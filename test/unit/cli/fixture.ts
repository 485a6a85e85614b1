import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  ApplyReport,
  DiffReport,
  Event,
  ObjectStatus,
  RolloutReport,
  Status,
  WhyReport,
} from '../../../src/agent/api.ts';
import { type Call, type Reply, serveControl } from '../../../src/agent/server.ts';
import { OmniError } from '../../../src/errors.ts';
import { createFleetReader, filesFromTexts } from '../../../src/manifest/load.ts';
import type { Fleet, IpAddress, PublicKey } from '../../../src/manifest/model.ts';
import type { SessionState } from '../../../src/reconcile/dataplane.ts';
import { desiredState } from '../../../src/reconcile/desired.ts';
import { diff } from '../../../src/reconcile/diff.ts';
import { plan } from '../../../src/reconcile/plan.ts';
import type { DesiredRow, ObservedRow } from '../../../src/reconcile/rows.ts';
import { identityOf } from '../../../src/session/identity.ts';
import { NOW_MS } from './run.ts';

/** The public key of the identity whose seed is 32 times `byte`. */
export function keyOf(byte: number): PublicKey {
  return identityOf(new Uint8Array(32).fill(byte)).publicKey;
}

export const CLUSTER = `apiVersion: omni.io/v1alpha1
kind: Cluster
metadata: { name: warehouse }
spec:
  subnets: [10.77.0.0/16]
`;

export function robot(number: number, endpoint?: string): string {
  return `apiVersion: omni.io/v1alpha1
kind: Peer
metadata: { name: robot-${number}, labels: { site: ${number % 2 === 1 ? 'munich' : 'berlin'} } }
spec:
  clusters: [warehouse]
  publicKey: ${keyOf(number)}
  endpoints: ["${endpoint ?? `203.0.113.${number}:51820`}"]
---
apiVersion: omni.io/v1alpha1
kind: VIP
metadata: { name: robot-${number} }
spec: { cluster: warehouse, address: 10.77.0.${number}, peer: robot-${number} }
`;
}

/** A set of manifests with robots of these numbers, as texts by path. */
export function manifests(numbers: readonly number[]): Record<string, string> {
  return {
    'warehouse.yaml': CLUSTER,
    ...Object.fromEntries(numbers.map((number) => [`robot-${number}.yaml`, robot(number)])),
  };
}

async function fleetOf(texts: Readonly<Record<string, string>>): Promise<Fleet> {
  const files = filesFromTexts(Object.entries(texts).map(([path, text]) => ({ path, text })));
  const result = await createFleetReader().read(files);
  if (!result.ok) throw new Error(JSON.stringify(result.diagnostics));
  return result.fleet;
}

export const REVISION = {
  id: '450796dd0f3b1b5f6a4e7a2b3c4d5e6f70819203',
  label: 'main@sha1:450796dd0f3b1b5f6a4e7a2b3c4d5e6f70819203',
  subject: 'fleet: add robot-2',
  author: 'Ada',
  time: ago(3_600),
};

/** RFC 3339, seconds before the tests' now. */
function ago(seconds: number): string {
  return new Date(NOW_MS - seconds * 1_000).toISOString();
}

/** `SessionPlane.now()` of the fixture. */
const CLOCK_MS = 10_000_000;

export function session(peer: number, overrides: Partial<SessionState> = {}): SessionState {
  return {
    interface: 'omni0',
    localId: 0xfeedn,
    remoteId: 0xbeefn,
    peer: keyOf(peer),
    initiator: true,
    unconfirmed: false,
    hybrid: false,
    current: true,
    createdMs: CLOCK_MS - 72_000,
    rekeyAfterMs: CLOCK_MS + 48_000,
    expiresMs: CLOCK_MS + 3_528_000,
    txPackets: 1_200n,
    txBytes: 1_536n,
    rxPackets: 18_446_744_073_709_551_615n,
    rxBytes: 5_242_880n,
    txLastMs: CLOCK_MS - 1_000,
    txDataLastMs: CLOCK_MS - 1_000,
    rxLastMs: CLOCK_MS - 2_000,
    rxDataLastMs: 0,
    ...overrides,
  };
}

const condition = {
  status: 'True' as const,
  lastTransitionTime: ago(300),
  observedRevision: REVISION.label,
};

/** A revision by its first digit, that many seconds old. */
function revision(digit: string, seconds: number, subject?: string) {
  const id = digit.repeat(40);
  const told = subject === undefined ? {} : { subject, author: 'Ada' };
  return { id, label: `main@sha1:${id}`, time: ago(seconds), ...told };
}

/** The revision in force is the last known good one. */
const ROLLOUT: RolloutReport = {
  lastKnownGood: { ...REVISION, since: ago(300) },
  quarantined: [],
  history: [{ revision: REVISION, outcome: 'good', message: '3 probes passed', at: ago(300), tookMs: 2_140 }],
  revoked: [],
};

export const BAD = revision('f', 90, 'fleet: move robot-2');
export const NEWER = revision('d', 20, 'fleet: move robot-2 back');

/** `BAD` was rolled back a minute ago; `NEWER` is being tried. */
export const ON_TRIAL: RolloutReport = {
  ...ROLLOUT,
  trial: {
    revision: NEWER,
    startedAt: ago(9),
    remainingMs: 21_400,
    probes: [
      { id: 'source', state: 'passed' },
      { id: 'peer/robot-2', state: 'failing', message: 'no answer within 2 s' },
      { id: 'declared/dock', state: 'pending' },
    ],
  },
  quarantined: [
    {
      revision: BAD,
      reason: 'ProbationFailed',
      message: 'peer/robot-2: no answer within 2 s',
      at: ago(60),
      until: ago(60 - 21_600),
    },
    { revision: revision('e', 9_000), reason: 'RolledBackByHand', message: 'omni rollback', at: ago(8_000) },
  ],
  history: [
    { revision: BAD, outcome: 'rolled-back', message: 'peer/robot-2: no answer', at: ago(60), tookMs: 30_250 },
    ...ROLLOUT.history,
    { revision: revision('c', 4_000), outcome: 'preempted', message: 'a newer one came', at: ago(3_900), tookMs: 640 },
  ],
  revoked: [{ publicKey: keyOf(9), name: 'robot-9', revision: BAD.label }],
};

/** Nothing new gets in. */
export const HELD: RolloutReport = {
  ...ROLLOUT,
  waiting: { revision: NEWER, refused: false, reason: 'Held', message: 'mission 12, until 2026-03-01T18:30:00Z' },
  hold: { reason: 'mission 12', since: ago(600), until: ago(-23_400) },
  suspension: { reason: 'mast is being painted', since: ago(7_200) },
};

export const READY: Status = {
  node: {
    publicKey: keyOf(1),
    peer: 'robot-1',
    clusters: ['warehouse'],
    pid: 4711,
    version: '0.1.0',
    startedAt: ago(4_000),
  },
  source: {
    kind: 'git',
    description: 'https://git.example.com/fleet.git ref main',
    lastFetch: ago(12),
    nextFetch: ago(-18),
  },
  revision: { lastApplied: REVISION, lastAttempted: REVISION },
  rollout: ROLLOUT,
  conditions: [
    {
      ...condition,
      type: 'Ready',
      reason: 'ReconciliationSucceeded',
      message: `revision ${REVISION.label}: all rows verified`,
    },
    { ...condition, type: 'SourceReady', reason: 'Fetched', message: 'up to date' },
  ],
  objects: { total: 5, ready: 5, failed: 0 },
  rows: { desired: 6, observed: 6, pending: 0 },
  sessions: { active: 1, clockMs: CLOCK_MS },
  writes: 6,
  dataPlane: {
    engine: 'kernel',
    interfaces: [
      { name: 'omni0', role: 'overlay', ifindex: 3, mtu: 1426 },
      { name: 'omni0x', role: 'outer', mode: 'native', ifindex: 4, mtu: 1426 },
      { name: 'eth0', role: 'underlay', mode: 'generic', ifindex: 2, mtu: 1500 },
    ],
    notes: ['eth0 has no native XDP: generic mode'],
  },
  counters: {
    txPackets: 1_200n,
    txBytes: 1_536n,
    rxPackets: 18_446_744_073_709_551_615n,
    rxBytes: 5_242_880n,
    queued: 1n,
    controlPassed: 2n,
    neighboursAnswered: 3n,
    neighboursResolved: 4n,
    handedOver: 0n,
    drops: { 'fdb-miss': 0n, replay: 1_234n, auth: 7n },
  },
};

export const NOT_READY: Status = {
  ...READY,
  handshakes: { completed: 12, failed: { timeout: 3, mac1: 0 } },
  source: { ...READY.source, lastError: 'git.example.com did not answer within 30 s' },
  revision: { lastApplied: REVISION, lastAttempted: { id: 'f00', label: 'main@sha1:f00dcafe' } },
  conditions: [
    {
      ...condition,
      type: 'Ready',
      status: 'False',
      reason: 'InvalidFleet',
      message: 'broken.yaml:4:25: 10.99.0.9 is in no subnet',
    },
    { ...condition, type: 'Stalled', reason: 'InvalidFleet', message: 'broken.yaml:4:25: 10.99.0.9 is in no subnet' },
  ],
};

const signedRevision = {
  ...REVISION,
  signature: { format: 'ssh', signer: 'ada@example.org', key: 'SHA256:u3y8wvOwdHeUi48KRUEXRKNStEtOSNbalhu1rqN9PWE' },
} as const;

/** Of a node that asks for signatures; its first remote is away. */
export const SIGNED: Status = {
  ...READY,
  source: {
    ...READY.source,
    remotes: [
      {
        url: 'https://git.example.com/fleet.git',
        askedAt: ago(180),
        error: 'https://git.example.com/fleet.git did not answer within 30 s',
      },
      { url: 'https://mirror.example.com/fleet.git', askedAt: ago(12) },
      { url: 'https://third.example.com/fleet.git' },
    ],
  },
  revision: { lastApplied: signedRevision, lastAttempted: signedRevision },
  rollout: {
    ...ROLLOUT,
    history: [
      { revision: signedRevision, outcome: 'good', message: '3 probes passed', at: ago(300), tookMs: 2_140 },
      { revision: BAD, outcome: 'rolled-back', message: 'peer/robot-2: no answer', at: ago(900), tookMs: 30_250 },
    ],
  },
};

const place = { file: 'robot-2.yaml', line: 1, column: 1 };
const objectState = { reason: 'Reconciled', revision: REVISION.label, since: ago(300) };

export const OBJECTS: readonly ObjectStatus[] = [
  {
    ...objectState,
    object: 'cluster/warehouse',
    position: { file: 'warehouse.yaml', line: 1, column: 1 },
    labels: {},
    ready: 'True',
    message: '2 rows verified',
    detail: { subnets: '10.77.0.0/16', interface: 'omni0', port: '51820', peers: '2' },
  },
  {
    ...objectState,
    object: 'peer/robot-1',
    position: { ...place, file: 'robot-1.yaml' },
    labels: { site: 'munich' },
    ready: 'True',
    message: 'this node',
    detail: { publicKey: keyOf(1), clusters: 'warehouse', endpoints: '203.0.113.1:51820', vips: '10.77.0.1' },
  },
  {
    ...objectState,
    object: 'peer/robot-2',
    position: place,
    labels: { site: 'berlin' },
    ready: 'False',
    reason: 'RowFailed',
    message: 'fdb/omni0: bpf(BPF_MAP_UPDATE_ELEM) failed with E2BIG (errno 7), and will be tried again in 4 s',
    detail: {
      publicKey: keyOf(2),
      clusters: 'warehouse',
      endpoints: '203.0.113.2:51820',
      endpoint: '198.51.100.9:40001',
      vips: '10.77.0.2',
    },
    session: session(2),
    contact: {
      state: 'established',
      lastHandshakeMs: CLOCK_MS - 72_000,
      hybrid: true,
      paths: [
        { endpoint: '203.0.113.2:51820', active: false, state: 'dead', source: 'hint' },
        {
          endpoint: '198.51.100.9:40001',
          active: true,
          sinceMs: CLOCK_MS - 66_000,
          state: 'live',
          rttMs: 1.24,
          answeredMs: CLOCK_MS - 15_000,
          source: 'seen',
          local: '10.0.0.5',
        },
      ],
      moved: {
        from: '203.0.113.2:51820',
        to: '198.51.100.9:40001',
        why: 'silent',
        atMs: CLOCK_MS - 66_000,
        tookMs: 1_490,
      },
    },
    refused: { 'inner-source': 12n, multicast: 3n },
  },
  {
    ...objectState,
    object: 'vip/robot-2',
    position: { ...place, line: 9 },
    labels: {},
    ready: 'Unknown',
    message: '',
    detail: { cluster: 'warehouse', address: '10.77.0.2', peer: 'robot-2' },
  },
];

export const EVENTS: readonly Event[] = [
  {
    sequence: 1,
    time: ago(300),
    type: 'Normal',
    reason: 'RevisionApplied',
    object: 'node',
    message: `revision ${REVISION.label}: 6 changes`,
  },
  {
    sequence: 2,
    time: ago(30),
    type: 'Warning',
    reason: 'RowFailed',
    object: 'peer/robot-2',
    message: 'fdb/omni0: E2BIG',
  },
];

const DAY = 86_400;

export const WHY: readonly WhyReport[] = [
  {
    subject: `peer/omni0/${keyOf(2)}`,
    rows: [
      {
        key: `peer/omni0/${keyOf(2)}`,
        text: 'peer/omni0/robot-2 at 198.51.100.9:40001',
        state: 'verified',
        verifiedAt: ago(3),
      },
      {
        key: 'fdb/omni0/0e:71:7d:5c:a9:17',
        text: 'fdb/omni0/0e:71:7d:5c:a9:17 -> robot-2',
        state: 'failed',
        message: 'bpf(BPF_MAP_UPDATE_ELEM) failed with E2BIG (errno 7), and will be tried again in 4 s',
      },
      { key: 'route/omni0/10.77.0.0/16', text: '', state: 'pending', verifiedAt: ago(40) },
      { key: 'address/omni0/10.99.0.9', text: 'address/omni0/10.99.0.9', state: 'undesired' },
    ],
    sessions: [session(2)],
    objects: [
      {
        object: 'peer/robot-2',
        position: place,
        commit: {
          id: REVISION.id,
          subject: 'fleet: add robot-2 to the warehouse, now that its battery has come',
          author: 'Ada Lovelace',
          time: ago(3 * DAY),
        },
      },
      { object: 'cluster/warehouse', position: { file: 'warehouse.yaml', line: 1, column: 1 } },
    ],
    revision: REVISION,
    notes: [`${REVISION.label} waits: Held: mission 12`],
  },
];

/** What the fixture's node, robot-1, wants and has: a forwarding row is gone, the peer has roamed, a route is left over. */
async function rowsView(): Promise<{ desired: readonly DesiredRow[]; observed: readonly ObservedRow[] }> {
  const fleet = await fleetOf(manifests([1, 2]));
  const desired = [...desiredState(fleet, { publicKey: keyOf(1), resolve: (host) => host as IpAddress }).rows.values()];
  const observed = desired
    .filter(({ row }) => row.kind !== 'fdb')
    .map(({ row }): ObservedRow => {
      if (row.kind === 'peer') return { row: { ...row, endpoint: '198.51.100.9:40001' }, endpointObserved: true };
      return { row: row.kind === 'link' ? { ...row, mtu: 1400 } : row };
    });
  const stray = { row: { kind: 'route', interface: 'omni0', destination: '10.99.0.0/16' } } as ObservedRow;
  return { desired, observed: [...observed, stray] };
}

export async function changesOf(before: readonly number[], after: readonly number[]): Promise<DiffReport['changes']> {
  const node = { publicKey: keyOf(1), resolve: (host: string) => host as IpAddress };
  const rows = async (numbers: readonly number[]) => desiredState(await fleetOf(manifests(numbers)), node).rows;
  return plan(diff(await rows(after), await rows(before)));
}

export interface FakeAgent {
  readonly socket: string;
  /** What came in by POST, in order. */
  readonly posted: unknown[];
  close(): Promise<void>;
}

/** What a request is answered with, or what makes it up at each call. */
type Answer<T> = T | OmniError | ((call: Call) => Promise<T> | T);

export type Answers = Partial<{
  status: Answer<Status>;
  objects: Answer<readonly ObjectStatus[]>;
  sessions: readonly SessionState[];
  rollout: Answer<RolloutReport>;
  why: Answer<readonly WhyReport[]>;
  diff: Answer<DiffReport>;
  apply: Answer<ApplyReport>;
  reconcile: Answer<ApplyReport>;
  confirm: Answer<ApplyReport>;
  retry: Answer<ApplyReport>;
  rollback: Answer<ApplyReport>;
  /** To all of hold, release, suspend and resume. */
  gate: Answer<RolloutReport>;
  /** After the backlog, for watchers. */
  later: AsyncIterable<Event>;
}>;

/** A real control server on a socket of its own, with answers made up. */
export async function fakeAgent(answers: Answers = {}): Promise<FakeAgent> {
  const folder = await mkdtemp(join(tmpdir(), 'omni-cli-'));
  const socket = join(folder, 'omni.sock');
  const posted: unknown[] = [];
  const reply =
    (answer: unknown) =>
    async (call: Call): Promise<Reply> => {
      if (answer instanceof Error) throw answer;
      if (answer === undefined) throw new OmniError('the test gave no answer', { code: 'bug', class: 'bug' });
      return { json: typeof answer === 'function' ? await answer(call) : answer };
    };
  const post = (answer: unknown) => (call: Call) => {
    posted.push(call.body);
    return reply(answer)(call);
  };
  const backlog = async function* (watch: boolean) {
    yield* EVENTS;
    if (watch && answers.later) yield* answers.later;
  };
  const routes = new Map<string, (call: Call) => Promise<Reply> | Reply>([
    ['GET /v1/status', reply(answers.status ?? READY)],
    ['GET /v1/objects', reply(answers.objects ?? OBJECTS)],
    ['GET /v1/rollout', reply(answers.rollout ?? ROLLOUT)],
    ['GET /v1/why', reply(answers.why)],
    ['GET /v1/sessions', () => ({ json: answers.sessions ?? [session(2)] })],
    ['GET /v1/rows', async () => ({ json: await rowsView() })],
    ['POST /v1/diff', post(answers.diff)],
    ['POST /v1/apply', post(answers.apply)],
    ['POST /v1/reconcile', post(answers.reconcile)],
    ['POST /v1/confirm', post(answers.confirm)],
    ['POST /v1/retry', post(answers.retry)],
    ['POST /v1/rollback', post(answers.rollback)],
    ...['hold', 'release', 'suspend', 'resume'].map((verb) => [`POST /v1/${verb}`, post(answers.gate)] as const),
    ['GET /v1/events', ({ query }) => ({ lines: backlog(query.get('watch') === '1') })],
  ]);
  const server = await serveControl(socket, routes, () => undefined);
  return {
    socket,
    posted,
    close: async () => {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
