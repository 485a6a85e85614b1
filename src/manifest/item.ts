import { comparePositions } from './diagnostic.ts';
import type { ParsedDocument } from './document.ts';
import type { Cluster, FleetObject, Kind, ObjectRef, Peer, Position, PublicKey, Vip } from './model.ts';
import { columnOf, lineOf, type Spot } from './text.ts';

const PREFIX = { Cluster: 'cluster', Peer: 'peer', VIP: 'vip' } as const;

export function refOf(kind: Kind, name: string): ObjectRef {
  return `${PREFIX[kind]}/${name}`;
}

export function positionOf(file: string, line: number, at: Spot): Position {
  return { file, line: line + lineOf(at) + 1, column: columnOf(at) + 1 };
}

/** A document that declares an object, at its place in the set. When it merely moves, it stays the same item. */
export class Item {
  readonly ref: ObjectRef;
  readonly kind: Kind;
  readonly name: string;
  readonly document: ParsedDocument;
  readonly file: string;
  #line: number;
  #object: FleetObject | undefined;

  constructor(kind: Kind, name: string, document: ParsedDocument, file: string, line: number) {
    this.ref = refOf(kind, name);
    this.kind = kind;
    this.name = name;
    this.document = document;
    this.file = file;
    this.#line = line;
    this.#object = this.#placed();
  }

  #placed(): FleetObject | undefined {
    const { body, start } = this.document;
    return body === undefined ? undefined : { ...body, position: positionOf(this.file, this.#line, start) };
  }

  /** Undefined where the document is invalid. Immutable: a move makes a new one. */
  get object(): FleetObject | undefined {
    return this.#object;
  }
  get cluster(): Cluster | undefined {
    return this.#object?.kind === 'Cluster' ? this.#object : undefined;
  }
  get peer(): Peer | undefined {
    return this.#object?.kind === 'Peer' ? this.#object : undefined;
  }
  get vip(): Vip | undefined {
    return this.#object?.kind === 'VIP' ? this.#object : undefined;
  }

  /** The line of the file, 0-based, at which the document's section begins. */
  get line(): number {
    return this.#line;
  }

  moveTo(line: number): void {
    this.#line = line;
    this.#object = this.#placed();
  }

  /** Place of a field by JSON pointer; of the name, where the field is left to its default. */
  at(pointer: string): Position {
    const { start } = this.document;
    if (pointer === '') return positionOf(this.file, this.#line, start);
    const { at } = this.document;
    return positionOf(this.file, this.#line, at[pointer] ?? at['/metadata/name'] ?? start);
  }
}

export function inOrder(items: Iterable<Item>): Item[] {
  return [...items].sort((a, b) => comparePositions(a.at(''), b.at('')));
}

export type KeyField = 'publicKey' | 'nextPublicKey';

/** The keys of a valid Peer, with the fields that they stand in. */
export function keysOf({ publicKey, nextPublicKey }: Peer): readonly (readonly [KeyField, PublicKey])[] {
  return nextPublicKey === undefined
    ? [['publicKey', publicKey]]
    : [
        ['publicKey', publicKey],
        ['nextPublicKey', nextPublicKey],
      ];
}
