/** Reads one part of a parsed JSON text; throws `TypeError` that names the part by `at`. */
export type Decoder<T> = (value: unknown, at: string) => T;

/** The members of an object, as unknown as they are. Members that nobody asks for are passed over. */
export type Members = ReadonlyMap<string, unknown>;

function unexpected(at: string, wanted: string): TypeError {
  return new TypeError(`${at} is not ${wanted}`);
}

export function members(value: unknown, at: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unexpected(at, 'an object');
  return new Map(Object.entries(value));
}

export function text(value: unknown, at: string): string {
  if (typeof value !== 'string') throw unexpected(at, 'a text');
  return value;
}

/** RFC 3339, as `Date.toISOString` and git write it. */
export function time(value: unknown, at: string): string {
  const read = text(value, at);
  if (Number.isNaN(Date.parse(read))) throw unexpected(at, 'a time');
  return read;
}

/** A whole number from 0. */
export function count(value: unknown, at: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw unexpected(at, 'a whole number');
  return value;
}

export function flag(value: unknown, at: string): boolean {
  if (typeof value !== 'boolean') throw unexpected(at, 'true or false');
  return value;
}

export function oneOf<T extends string | number | boolean>(...known: readonly T[]): Decoder<T> {
  return (value, at) => {
    const found = known.find((each) => each === value);
    if (found === undefined) throw unexpected(at, known.map((each) => JSON.stringify(each)).join(' or '));
    return found;
  };
}

export function list<T>(item: Decoder<T>): Decoder<T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) throw unexpected(at, 'a list');
    return value.map((each: unknown, index) => item(each, `${at}[${index}]`));
  };
}

export function required<T>(from: Members, name: string, decode: Decoder<T>, at: string): T {
  return decode(from.get(name), at === '' ? name : `${at}.${name}`);
}

/** To be spread into what is being built: `{}` where the member is absent. */
export function optional<K extends string, T>(
  from: Members,
  name: K,
  decode: Decoder<T>,
  at: string,
): { readonly [N in K]?: T } {
  if (!from.has(name)) return {};
  const found: { [N in K]?: T } = {};
  found[name] = required(from, name, decode, at);
  return found;
}
