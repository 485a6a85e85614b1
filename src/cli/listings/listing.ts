import type { Cell, Column } from '../table.ts';

interface TableView {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
}

/** Something that `omni get` lists and watches. */
export interface Listing<T> {
  /** Of the JSON document: `PeerList`. */
  readonly kind: string;
  /** Said where there is nothing. */
  readonly none: string;
  read(): Promise<Listed<T>>;
  /** As `-o name` prints it; tells an item from the others. */
  name(item: T): string;
  document(item: T): object;
  /** What is worth a line of `-w` when it changes: neither ages nor counters. Compared as JSON. */
  state(item: T): unknown;
  /** The item in a table once it is no more. */
  gone(item: T): T;
}

/** One reading. */
export interface Listed<T> {
  /** In the order in which they are shown. */
  readonly items: readonly T[];
  /** Fields of the list's document beside `items`. */
  readonly fields?: object;
  tables(items: readonly T[], wide: boolean): readonly TableView[];
}
