import { type Parameters, type Rule, statement } from './diagnostic.ts';
import { type LocalFinding, start } from './text.ts';
import type { Spots } from './yaml.ts';

/** What is wrong with the values of one document, each finding at its place. */
export class Findings {
  readonly all: LocalFinding[] = [];
  readonly #at: Spots;

  constructor(at: Spots) {
    this.#at = at;
  }

  /** `path` and `related`: JSON pointers (RFC 6901) of values in the document. */
  add<R extends Rule>(path: string, rule: R, parameters: Parameters<R>, related?: string): void {
    const other = related === undefined ? undefined : this.#at[related];
    const finding = { ...statement(rule, parameters), at: this.#at[path] ?? start };
    this.all.push(other === undefined ? finding : { ...finding, related: other });
  }
}
