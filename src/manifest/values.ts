import { type Statement, statement } from './diagnostic.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { parseEndpoint } from './endpoint.ts';
import { parseEtherType } from './ethertype.ts';
import { keyProblem } from './keys.ts';
import { parseCidr, parseIp, reservedOverlap } from './net.ts';

/** What is wrong with a text that its schema gives this format; `where` names the field. Undefined: nothing. */
export type ValueCheck = (text: string, where: string) => Statement | undefined;

function publicKey(text: string, where: string): Statement | undefined {
  const found = keyProblem(text);
  if (found === undefined) return undefined;
  return statement(found.what === 'point' ? 'key-not-a-point' : 'key-invalid', { where, problem: found.problem });
}

function duration(text: string): Statement | undefined {
  const parsed = parseDuration(text);
  return parsed.ok ? undefined : statement('duration-invalid', { value: text, problem: parsed.problem });
}

function cidr(text: string): Statement | undefined {
  const parsed = parseCidr(text);
  if (!parsed.ok) return statement('cidr-invalid', { value: text, problem: parsed.problem });
  const { network, exact } = parsed.value;
  if (!exact) return statement('cidr-host-bits', { value: text, network: network.text });
  const reserved = reservedOverlap(network);
  return reserved === undefined ? undefined : statement('subnet-reserved', { subnet: network.text, reserved });
}

function address(text: string): Statement | undefined {
  const parsed = parseIp(text);
  return parsed.ok ? undefined : statement('address-invalid', { value: text, problem: parsed.problem });
}

function endpoint(text: string): Statement | undefined {
  const parsed = parseEndpoint(text);
  if (parsed.ok) return undefined;
  return 'portMissing' in parsed
    ? statement('endpoint-port-missing', { value: text, suggestion: parsed.portMissing })
    : statement('endpoint-invalid', { value: text, problem: parsed.problem });
}

/** Unlike an endpoint's, the port of a service cannot be guessed. */
function tcpAddress(text: string): Statement | undefined {
  const parsed = parseEndpoint(text);
  if (parsed.ok) return undefined;
  const problem = 'portMissing' in parsed ? 'it has no port' : parsed.problem;
  return statement('tcp-invalid', { value: text, problem });
}

function httpUrlProblem(text: string): string | undefined {
  if (!URL.canParse(text)) return 'it is no URL';
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return 'its scheme is neither http nor https';
  if (url.username !== '' || url.password !== '') return 'it holds a user name or password';
  return url.hash === '' ? undefined : 'it has a fragment';
}

function httpUrl(text: string): Statement | undefined {
  const problem = httpUrlProblem(text);
  if (problem === undefined) return undefined;
  // What may be a password is not repeated.
  return statement('url-invalid', { value: problem.includes('password') ? '(URL)' : text, problem });
}

const ARMOR_BEGIN = '-----BEGIN AGE ENCRYPTED FILE-----';
const ARMOR_END = '-----END AGE ENCRYPTED FILE-----';

/** The armor of age-encryption.org/v1: strict RFC 7468 text of 64 columns. Who can open it, git does not tell. */
function ageFile(text: string, where: string): Statement | undefined {
  const lines = text.trim().split(/\r?\n/);
  const body = lines.slice(1, -1);
  const framed = lines[0] === ARMOR_BEGIN && lines.at(-1) === ARMOR_END;
  const problem = !framed
    ? 'its first and last lines are not those of the armor'
    : body.length > 0 && body.every((line) => /^[A-Za-z0-9+/]{1,64}={0,2}$/.test(line))
      ? undefined
      : 'between its first and last line is something else than base64';
  return problem === undefined ? undefined : statement('psk-invalid', { where, problem });
}

function interfaceProblem(name: string): string | undefined {
  if (name.length > 14) return `it has ${name.length} characters, and the kernel takes 15 with the \`x\` behind it`;
  if (!/^[A-Za-z][-A-Za-z0-9_.]*$/.test(name)) return 'it has characters that are not allowed, or begins with one';
  return ['lo', 'all', 'default'].includes(name) ? 'the name means something else to the kernel' : undefined;
}

function interfaceName(text: string): Statement | undefined {
  const problem = interfaceProblem(text);
  return problem === undefined ? undefined : statement('interface-invalid', { value: text, problem });
}

function etherType(text: string): Statement | undefined {
  const parsed = parseEtherType(text);
  if (parsed.ok) return undefined;
  return parsed.problem === undefined
    ? statement('ethertype-invalid', { value: text })
    : statement('ethertype-refused', { value: text, problem: parsed.problem });
}

function absolutePath(text: string, where: string): Statement | undefined {
  return /^\/[^\p{Cc}]*$/u.test(text) ? undefined : statement('path-not-absolute', { where });
}

export const formats: Readonly<Record<string, ValueCheck>> = {
  'omni-public-key': publicKey,
  'omni-duration': duration,
  'omni-cidr': cidr,
  'omni-address': address,
  'omni-endpoint': endpoint,
  'omni-interface': interfaceName,
  'omni-ethertype': etherType,
  'omni-tcp': tcpAddress,
  'omni-http-url': httpUrl,
  'omni-age': ageFile,
  'omni-absolute-path': absolutePath,
};

/** Bounds of a duration, as the schema's `x-range` gives them: the shortest and the longest. */
export type DurationRange = readonly [string, string];

export function isDurationRange(value: unknown): value is DurationRange {
  return Array.isArray(value) && value.length === 2 && value.every((bound) => typeof bound === 'string');
}

/** A known good duration in milliseconds; throws on a slip in a schema or a document that was not validated. */
export function durationMs(text: string): number {
  const parsed = parseDuration(text);
  if (!parsed.ok) throw new Error(`"${text}" is not a duration: ${parsed.problem}`);
  return parsed.ms;
}

/** Texts that are no durations have a finding already. */
export function outOfRange(text: string, range: DurationRange, where: string): Statement | undefined {
  const parsed = parseDuration(text);
  const [least, most] = range.map(durationMs);
  if (!parsed.ok || least === undefined || most === undefined) return undefined;
  if (parsed.ms >= least && parsed.ms <= most) return undefined;
  const bounds = { minimum: formatDuration(least), maximum: formatDuration(most) };
  return statement('duration-range', { where, value: text, ...bounds });
}
