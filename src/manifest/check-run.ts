import { type Parameters, type Rule, statement } from './diagnostic.ts';
import type { FleetIndex } from './fleet-index.ts';
import { type Item, inOrder, refOf } from './item.ts';
import type { Cluster, Diagnostic, Kind, ObjectRef, Position } from './model.ts';
import { type Network, network } from './net.ts';
import { nearest } from './suggest.ts';

/** Comparisons that suggestions may cost in one run: a fleet without its Clusters dangles ten thousand times. */
const SUGGESTION_BUDGET = 500_000;

/** `declared` is true for invalid declarations too; `item` is the first valid one in the order of files. */
interface Target {
  readonly declared: boolean;
  readonly item?: Item;
}

function firstValid(items: ReadonlySet<Item>): Target {
  if (items.size === 0) return { declared: false };
  const [item] = inOrder([...items].filter((each) => each.object !== undefined));
  return item === undefined ? { declared: true } : { declared: true, item };
}

/** What a run of checks works with; the index does not change during it. */
export class CheckRun {
  readonly index: FleetIndex;
  readonly #targets = new Map<ObjectRef, Target>();
  #budget = SUGGESTION_BUDGET;

  constructor(index: FleetIndex) {
    this.index = index;
  }

  find(kind: Kind, name: string): Target {
    const ref = refOf(kind, name);
    const known = this.#targets.get(ref);
    if (known !== undefined) return known;
    const target = firstValid(this.index.byRef.get(ref));
    this.#targets.set(ref, target);
    return target;
  }

  /** Names of one kind, as long as the budget lasts. */
  *#candidates(kind: Kind): Generator<string> {
    for (const name of this.index.names(kind)) {
      if (this.#budget-- <= 0) return;
      yield name;
    }
  }

  suggestion(kind: Kind, name: string): string {
    const near = nearest(name, this.#candidates(kind));
    return near === undefined ? `Add the ${kind}, or correct the name.` : `Did you mean ${refOf(kind, near)}?`;
  }
}

/** A finding of a check, at its place. */
export function found<R extends Rule>(
  rule: R,
  parameters: Parameters<R>,
  position: Position,
  related?: Position,
): Diagnostic {
  const diagnostic = { ...statement(rule, parameters), position };
  return related === undefined ? diagnostic : { ...diagnostic, related };
}

const networks = new WeakMap<readonly string[], readonly Network[]>();

/** Parsed once per Cluster document: a moved one keeps its list. */
export function networksOf(cluster: Cluster): readonly Network[] {
  const known = networks.get(cluster.subnets);
  if (known !== undefined) return known;
  const made = cluster.subnets.map(network);
  networks.set(cluster.subnets, made);
  return made;
}
