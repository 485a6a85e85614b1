import type { Fleet, ManifestFile } from '../manifest/model.ts';
import type { NodeImpact } from '../reconcile/impact/node.ts';
import type { Impact } from '../reconcile/impact.ts';
import type { Revision, Snapshot } from '../source/source.ts';
import { usageError } from './errors.ts';
import { shortRevision } from './format.ts';
import { fleetOf } from './manifests.ts';
import type { Selector } from './selector.ts';
import { type ManifestChange, manifestChanges } from './views/manifests.ts';

/** What one commit does that another did not. */
export interface RevisionComparison extends Omit<Impact, 'nodes' | 'objects'> {
  readonly from: Revision;
  readonly to: Revision;
  readonly before: Fleet;
  readonly after: Fleet;
  readonly manifests: readonly ManifestChange[];
  /** Those that were asked for and have something to do or to say. */
  readonly nodes: readonly { readonly impact: NodeImpact; readonly operations: number }[];
}

interface ComparisonRequest {
  /** `A..B`; `A..` ends at HEAD, `..B` begins there; `A` alone ends at what lies in the checkout, as with `git diff`. */
  readonly range: string;
  /** A folder inside the repository. */
  readonly repo: string;
  /** Folder of the manifests below its root. */
  readonly path: string;
  readonly node: string | undefined;
  /** Nodes by their Peer's labels, in either revision. */
  readonly selector: Selector | undefined;
  readonly signal: AbortSignal;
  /** Takes the diagnostics of a revision that is invalid, as text. */
  readonly report: (text: string) => void;
}

export async function compareRevisions(request: ComparisonRequest): Promise<RevisionComparison> {
  const { path, node, selector, signal } = request;
  const { from, to } = parseRange(request.range);
  // Loaded when called, as in manifests.ts.
  const [{ emptyFleet }, { createFleetReader }, { checkNode, impact }, { operationsOf }, { openGitRepository }] =
    await Promise.all([
      import('../manifest/fleet.ts'),
      import('../manifest/load.ts'),
      import('../reconcile/impact.ts'),
      import('../reconcile/impact/node.ts'),
      import('../source/repository.ts'),
    ]);
  const repository = openGitRepository(request.repo);
  try {
    const newer =
      to === undefined ? await repository.readWorkTree(path, signal) : await repository.readRevision(to, path, signal);
    const older = await repository.readEarlier(from, path, signal);
    // One reader for both: what did not change is parsed once.
    const reader = createFleetReader();
    const read = async ({ files, revision }: Snapshot): Promise<Fleet> =>
      fleetOf(
        await reader.read(files.map((file) => below(path, file))),
        `revision ${shortRevision(revision.label)}`,
        request.report,
      );
    // A reader refuses an empty set: in force it would be a mistake.
    const before = older.files.length === 0 ? emptyFleet : await read(older);
    const after = await read(newer);
    if (node !== undefined) checkNode(node, before, after);
    const isChosen = (name: string): boolean =>
      (node === undefined || name === node) && (selector === undefined || isSelected(name, selector, before, after));
    const { objects, nodes, ...effects } = impact(before, after, isChosen);
    return {
      ...effects,
      from: older.revision,
      to: newer.revision,
      before,
      after,
      manifests: manifestChanges(before, after, objects),
      nodes: nodes.map((one) => ({ impact: one, operations: operationsOf(one) })),
    };
  } finally {
    repository.close();
  }
}

/** Positions then read as paths from the repository's root, where a reviewer stands. */
function below(folder: string, file: ManifestFile): ManifestFile {
  if (folder === '') return file;
  const { blob, size } = file;
  return { path: `${folder.replace(/\/+$/, '')}/${file.path}`, blob, size, read: () => file.read() };
}

function isSelected(node: string, selector: Selector, ...fleets: readonly Fleet[]): boolean {
  return fleets.some((fleet) => {
    const peer = fleet.peers.get(node);
    return peer !== undefined && selector(peer.metadata.labels);
  });
}

/** `to` undefined: the work tree. */
function parseRange(range: string): { readonly from: string; readonly to: string | undefined } {
  const [from = '', to, ...rest] = range.split('..');
  if (rest.length > 0 || range.includes('...')) {
    throw usageError(
      `--rev '${range}' is no range of two commits`,
      'Write two commits with two dots between: `--rev main..HEAD`.',
    );
  }
  if (from === '' && !to) {
    throw usageError('--rev is empty', 'Write two commits with two dots between: `--rev main..HEAD`.');
  }
  return { from: from || 'HEAD', to: to === '' ? 'HEAD' : to };
}
