import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { renderDiagnostic } from '../../src/manifest/diagnostic.ts';
import { parseDuration } from '../../src/manifest/duration.ts';
import { formatEndpoint, parseEndpoint } from '../../src/manifest/endpoint.ts';
import { keyProblem } from '../../src/manifest/keys.ts';
import { createFleetReader } from '../../src/manifest/load.ts';
import type { FleetResult } from '../../src/manifest/model.ts';
import { formatIp, parseCidr, parseIp } from '../../src/manifest/net.ts';

const RUNS = Number(process.env.OMNI_FUZZ_RUNS ?? 3000);
/** What one small file may take, generously: a run away is minutes. */
const HANG_MS = 5_000;
/** Bounds on text in messages: the terminal and the log belong to others. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNPRINTABLE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/;

const roots = ['test/unit/manifest/fixtures', 'examples'].map((folder) => join(import.meta.dirname, '../..', folder));
const corpus = roots.flatMap((root) =>
  readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(ya?ml|json)$/.test(path))
    .map((path) => readFileSync(join(root, path))),
);

function read(contents: readonly Uint8Array[]): Promise<FleetResult> {
  const files = contents.map((bytes, at) => ({
    path: `${at}.yaml`,
    blob: `${at}`,
    size: bytes.length,
    read: () => Promise.resolve(bytes),
  }));
  return createFleetReader().read(files);
}

/** Never throws, never hangs, always says something or gives a fleet, and what it says can be shown. */
async function holds(contents: readonly Uint8Array[]): Promise<void> {
  const began = performance.now();
  const result = await read(contents);
  expect(performance.now() - began).toBeLessThan(HANG_MS);
  const errors = result.diagnostics.filter(({ severity }) => severity === 'error');
  expect(result.ok).toBe(errors.length === 0);
  if (result.ok)
    expect(result.fleet.clusters.size + result.fleet.peers.size + result.fleet.vips.size).toBeGreaterThan(0);
  for (const diagnostic of result.diagnostics) {
    const { position, message, fix } = diagnostic;
    const text = Buffer.from(contents[Number.parseInt(position.file, 10)] ?? []).toString();
    expect(position.line).toBeGreaterThanOrEqual(1);
    expect(position.column).toBeGreaterThanOrEqual(1);
    expect(position.line).toBeLessThanOrEqual(text.split('\n').length);
    expect(message.length * fix.length).toBeGreaterThan(0);
    expect(renderDiagnostic(diagnostic)).not.toMatch(UNPRINTABLE);
    expect(renderDiagnostic(diagnostic).length).toBeLessThan(2_000);
  }
}

const bytes = fc.uint8Array({ maxLength: 400 });
/** Pieces that mean something to a YAML parser or to us. */
const token = fc.constantFrom(
  ...[
    '---',
    '...',
    ': ',
    '- ',
    '? ',
    '{',
    '}',
    '[',
    ']',
    ',',
    '"',
    "'",
    '&a ',
    '*a',
    '!t ',
    '!!str ',
    '<<: ',
    '|\n',
    '>-\n',
  ],
  ...[
    '%YAML 1.1\n',
    '#',
    '\n',
    '\n  ',
    '\n    ',
    '\t',
    '\r\n',
    '\r',
    '\ufeff',
    '\u2028',
    '\0',
    '~',
    '0x1',
    '.nan',
    '1e999',
  ],
  ...[
    'apiVersion: omni.io/v1alpha1\n',
    'kind: Peer\n',
    'kind: Cluster\n',
    'kind: VIP\n',
    'metadata: ',
    'name: ',
    'spec:\n',
  ],
  ...[
    '__proto__: ',
    'constructor: ',
    'subnets: ',
    'publicKey: ',
    'endpoints: ',
    '10.77.0.0/16',
    'fd77::/64',

    '{x}',
  ],
);
const tokens = fc
  .array(fc.oneof(token, fc.string({ maxLength: 4 })), { maxLength: 60 })
  .map((list) => Buffer.from(list.join('')));

type Mutation = (input: Uint8Array) => Uint8Array;
const splice = (at: number, remove: number, insert: Uint8Array): Mutation => {
  return (input) => {
    const from = input.length === 0 ? 0 : at % input.length;
    return Buffer.concat([input.subarray(0, from), insert, input.subarray(from + remove)]);
  };
};
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ at: fc.nat(), insert: token }).map(({ at, insert }) => splice(at, 0, Buffer.from(insert))),
  fc.record({ at: fc.nat(), remove: fc.nat(12) }).map(({ at, remove }) => splice(at, remove, new Uint8Array())),
  fc.record({ at: fc.nat(), byte: fc.nat(255) }).map(({ at, byte }) => splice(at, 1, Uint8Array.of(byte))),
  fc.record({ at: fc.nat(), from: fc.nat(), length: fc.nat(80) }).map(
    ({ at, from, length }): Mutation =>
      (input) =>
        splice(at, 0, input.subarray(from % (input.length + 1)).subarray(0, length))(input),
  ),
);
const mutated = fc
  .record({ seed: fc.constantFrom(...corpus), mutations: fc.array(mutation, { minLength: 1, maxLength: 6 }) })
  .map(({ seed, mutations }) => mutations.reduce((input, each) => each(input), seed as Uint8Array));

test.each([
  ['any bytes', bytes],
  ['pieces of YAML', tokens],
  ['good and bad files with slips in them', mutated],
])('reading %s', async (_, arbitrary) => {
  await fc.assert(fc.asyncProperty(fc.array(arbitrary, { minLength: 1, maxLength: 3 }), holds), { numRuns: RUNS });
});

const many = (text: string, count: number) => text.repeat(count);
const DEEP = 60_000;

test.each([
  ['sequences in flow', many('[', DEEP)],
  ['mappings in flow', many('{a: ', DEEP)],
  ['both, closed', many('[{a: ', DEEP / 4) + many('}]', DEEP / 4)],
  ['block sequences', many('- ', DEEP)],
  ['explicit keys', many('? ', DEEP)],
  ['indentation', Array.from({ length: 600 }, (_, at) => `${many(' ', at)}a:`).join('\n')],
  ['quotes', many('"', DEEP)],
  ['anchors', many('&a ', DEEP)],
  ['tags', many('!a ', DEEP)],
  ['aliases', many('*a ', DEEP)],
  ['keys that are all the same', many('a: b\n', DEEP / 2)],
  ['keys that are all different', Array.from({ length: DEEP / 4 }, (_, at) => `k${at}: ${at}\n`).join('')],
  ['flow keys', `{${many('a: b, ', DEEP / 2)}}`],
  ['folded text', `a: "${many('x\n  ', DEEP / 2)}"`],
  ['blank lines', many('\n', DEEP * 4)],
  ['comments', many('#\n', DEEP)],
  ['document markers', many('---\n', DEEP)],
  ['document ends', many('...\n', DEEP)],
  ['directives', many('%a\n', DEEP)],
  ['colons', many(': ', DEEP)],
  ['lone carriage returns', many('a: b\r', DEEP)],
])('hostile %s, alone and in a document of ours', async (_, text) => {
  const head = 'apiVersion: omni.io/v1alpha1\nkind: Cluster\nmetadata: { name: a }\nspec:\n  subnets: ';
  await holds([Buffer.from(text)]);
  await holds([Buffer.from(head + text)]);
  await holds([Buffer.from(`${head}[10.0.0.0/8]\n${text}`)]);
});

test('texts of values: what is accepted comes back the same from its own canonical form', () => {
  const near = (...good: readonly string[]) =>
    fc.oneof(
      fc.string({ maxLength: 60 }),
      fc
        .record({ text: fc.constantFrom(...good), at: fc.nat(), cut: fc.nat(3), put: fc.string({ maxLength: 3 }) })
        .map(
          ({ text, at, cut, put }) =>
            text.slice(0, at % (text.length + 1)) + put + text.slice((at % (text.length + 1)) + cut),
        ),
    );
  const runs = { numRuns: RUNS };
  fc.assert(
    fc.property(near('10.77.0.17', 'fd77::17', '2001:db8:0:0:1:0:0:1', '64:ff9b::192.0.2.33'), (text) => {
      const ip = parseIp(text);
      if (!ip.ok) return;
      const again = parseIp(formatIp(ip.value));
      expect(again).toEqual(ip);
    }),
    runs,
  );
  fc.assert(
    fc.property(near('10.77.0.0/16', 'fd77::/64', '::/0', '1.2.3.4/32'), (text) => {
      const cidr = parseCidr(text);
      if (!cidr.ok) return;
      const { network } = cidr.value;
      expect(parseCidr(network.text)).toEqual({ ok: true, value: { network, exact: true } });
    }),
    runs,
  );
  fc.assert(
    fc.property(near('203.0.113.7:51820', '[2001:db8::7]:51820', 'robot-17.lan:51820'), (text) => {
      const endpoint = parseEndpoint(text);
      if (endpoint.ok) expect(parseEndpoint(formatEndpoint(endpoint.value))).toEqual(endpoint);
      else if ('portMissing' in endpoint) expect(parseEndpoint(endpoint.portMissing)).not.toHaveProperty('portMissing');
    }),
    runs,
  );
  fc.assert(
    fc.property(near('90s', '1h30m', '100ms', '1.5h'), (text) => {
      const duration = parseDuration(text);
      if (duration.ok) expect(Number.isSafeInteger(duration.ms) && duration.ms >= 0).toBe(true);
    }),
    runs,
  );
  fc.assert(
    fc.property(near('gRw+GxzI6fAavBVZ0RtICEehcvbYBnFTfm1zXmlEiNQ='), (text) => {
      if (keyProblem(text) === undefined) expect(Buffer.from(text, 'base64').toString('base64')).toBe(text);
    }),
    runs,
  );
});
