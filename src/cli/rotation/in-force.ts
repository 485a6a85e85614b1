import { resolve } from 'node:path';
import { ExitCode, OmniError } from '../../errors.ts';
import { fingerprint } from '../../manifest/keys.ts';
import type { Cluster, Position, PublicKey } from '../../manifest/model.ts';
import type { NodeKeys } from '../../reconcile/desired.ts';
import { selfOf } from '../../reconcile/share.ts';
import { type AgentRequest, agentSocket, connect } from '../agent.ts';
import type { IdentityOptions } from '../options.ts';
import type { PeerKeys } from './stage.ts';

/** This node, in the revision that it holds to. */
export interface InForce {
  readonly from: 'agent' | 'state-dir';
  readonly revision: string;
  readonly peer: string;
  readonly position: Position;
  readonly keys: PeerKeys;
  /** Clusters of the peer whose key is sealed in the manifest. */
  readonly sealed: readonly string[];
  /** What the agent goes by, as it says; absent: none runs. */
  readonly agent?: NodeKeys;
}

export interface Question extends AgentRequest {
  readonly options: AgentRequest['options'] & Pick<IdentityOptions, 'stateDir'>;
  readonly held: NodeKeys;
}

/**
 * As the agent says or, where none answers, as the state folder has it: the last known good revision. Undefined: there is
 * none. Throws `not-a-member` where it has no Peer with one of the keys, `another-node` where the agent runs as another node.
 */
export async function inForceOf(question: Question): Promise<InForce | undefined> {
  const asked = await askAgent(question);
  return asked === 'nobody' ? (await trusted(question))?.inForce : asked;
}

/** The last known good revision, and the clusters in it whose key is sealed for this node among others. */
export interface Trusted {
  readonly inForce: InForce;
  readonly clusters: readonly Cluster[];
}

/** What this node boots into, network or not, as its state folder has it. Undefined: nothing. Throws `not-a-member`. */
export async function trusted({ io, options, held }: Question): Promise<Trusted | undefined> {
  const { openRolloutStore } = await import('../../agent/rollout-store.ts');
  const { createFleetReader } = await import('../../manifest/load.ts');
  const store = openRolloutStore(resolve(io.cwd, options.stateDir));
  const { record } = await store.load();
  const kept = record.lastKnownGood && (await store.kept(record.lastKnownGood.id));
  const read = kept && (await createFleetReader().read(kept.files));
  if (kept === undefined || !read?.ok) return undefined;
  const { fleet } = read;
  const revision = kept.revision.label;
  const peer = selfOf(fleet, held);
  if (peer === undefined) throw notAMember(revision);
  const clusters = peer.clusters
    .flatMap((name) => fleet.clusters.get(name) ?? [])
    .filter(({ psk, nextPsk }) => psk !== undefined || nextPsk !== undefined);
  const { position, metadata } = peer;
  const sealed = clusters.map((cluster) => cluster.metadata.name);
  return { inForce: { from: 'state-dir', revision, peer: metadata.name, position, keys: peer, sealed }, clusters };
}

async function askAgent(question: Question): Promise<InForce | undefined | 'nobody'> {
  const { held } = question;
  const client = connect(question);
  const answers = await Promise.all([client.status(), client.objects()]).catch((error: unknown) => {
    if (error instanceof OmniError && error.code === 'agent-not-running') return undefined;
    throw error;
  });
  if (answers === undefined) return 'nobody';
  const [{ node, revision }, objects] = answers;
  const agent: NodeKeys = {
    publicKey: node.publicKey as PublicKey,
    nextPublicKey: node.nextPublicKey as PublicKey | undefined,
  };
  if (![held.publicKey, held.nextPublicKey].includes(agent.publicKey)) throw anotherNode(question, agent.publicKey);
  if (revision.lastApplied === undefined && objects.length === 0) return undefined;
  const own = objects.find(({ object }) => object === `peer/${node.peer}`);
  if (own?.detail.publicKey === undefined) {
    if (node.peer === undefined) throw notAMember(revision.lastApplied?.label ?? 'the revision in force');
    // Nothing of a Peer that is suspended is in force, and its keys are no less its own.
    const kept = (await trusted(question))?.inForce;
    return kept && { ...kept, agent };
  }
  const { publicKey, nextPublicKey } = own.detail as { readonly publicKey: PublicKey; nextPublicKey?: PublicKey };
  const sealed = objects.filter(({ detail }) => detail.psk !== undefined || detail.nextPsk !== undefined);
  return {
    from: 'agent',
    revision: own.revision,
    peer: own.object.slice('peer/'.length),
    position: own.position,
    keys: { publicKey, ...(nextPublicKey === undefined ? {} : { nextPublicKey }) },
    sealed: sealed.map(({ object }) => object.slice('cluster/'.length)),
    agent,
  };
}

function notAMember(revision: string): OmniError {
  return new OmniError(`no Peer of ${revision} has a key of this node`, {
    code: 'not-a-member',
    class: 'stall',
    exitCode: ExitCode.usage,
    fix: 'A node that is not in the fleet yet has nothing to change over: commit the documents that `omni init --existing --name …` prints.',
  });
}

function anotherNode({ io, options }: Question, key: PublicKey): OmniError {
  return new OmniError(
    `the agent at ${agentSocket({ io, options })} runs as ${fingerprint(key)}, which is not this key`,
    {
      code: 'another-node',
      class: 'stall',
      exitCode: ExitCode.usage,
      fix: "Give the agent's own --state-dir or --identity, and its --socket.",
    },
  );
}
