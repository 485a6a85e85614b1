import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, gunzip, gzip } from 'node:zlib';
import { limits } from '../manifest/limits.ts';
import type { ManifestFile } from '../manifest/model.ts';
import type { RevisionInfo } from '../reconcile/rollout/record.ts';
import type { KeptRevision } from '../reconcile/rollout/store.ts';
import { count, type Decoder, list, members, required, text } from './decode.ts';
import { revisionInfo } from './rollout-record.ts';

/*
 * A kept revision on disk, gzip (RFC 1952) of
 *
 *   omni-revision 1 <SHA-256 of all that follows this line, hexadecimal>\n
 *   {"revision":{…},"files":[{"path":"…","blob":"…","size":<bytes>},…]}\n
 *   the files' contents, one after another, in that order
 */

const MAGIC = 'omni-revision 1';
const LINE_END = 0x0a;
/** Of the unpacked text: a whole set's contents and a name for each file. A larger one is not ours. */
const MAX_BYTES = 2 * limits.setBytes;

const pack = promisify(gzip);
const unpack = promisify(gunzip);

interface Entry {
  readonly path: string;
  readonly blob: string;
  /** Bytes. */
  readonly size: number;
}

/** Reads every file. Packing is done by another thread. */
export async function encodeKept({ revision, files }: KeptRevision): Promise<Uint8Array> {
  const contents: Uint8Array[] = [];
  for (let from = 0; from < files.length; from += limits.concurrentReads) {
    const batch = files.slice(from, from + limits.concurrentReads);
    contents.push(...(await Promise.all(batch.map((file) => file.read()))));
  }
  const entries = files.map(({ path, blob }, at): Entry => ({ path, blob, size: contents[at]?.length ?? 0 }));
  const list = Buffer.from(`${JSON.stringify({ revision: plainInfo(revision), files: entries })}\n`);
  const hash = createHash('sha256').update(list);
  for (const content of contents) hash.update(content);
  const head = Buffer.from(`${MAGIC} ${hash.digest('hex')}\n`);
  return pack(Buffer.concat([head, list, ...contents]), { level: constants.Z_BEST_SPEED });
}

/** Callers hand over values that have more members than they are kept for. */
function plainInfo({ id, label, subject, author, time, signature }: RevisionInfo): Record<string, unknown> {
  return { id, label, subject, author, time, signature };
}

/** Throws, with a message that says what does not fit, for anything but what `encodeKept` made. */
export async function decodeKept(packed: Uint8Array): Promise<KeptRevision> {
  const whole = await unpack(packed, { maxOutputLength: MAX_BYTES });
  const [head, body] = cutLine(whole);
  const hash = createHash('sha256').update(body).digest('hex');
  if (head !== `${MAGIC} ${hash}`) {
    throw new TypeError(head.startsWith(`${MAGIC} `) ? 'its hash does not match' : `it does not begin with ${MAGIC}`);
  }
  const [first, contents] = cutLine(body);
  const from = members(JSON.parse(first), 'its list');
  const revision = required(from, 'revision', revisionInfo, '');
  return { revision, files: filesOf(required(from, 'files', list(entry), ''), contents) };
}

const entry: Decoder<Entry> = (value, at) => {
  const from = members(value, at);
  return {
    path: required(from, 'path', text, at),
    blob: required(from, 'blob', text, at),
    size: required(from, 'size', count, at),
  };
};

function cutLine(bytes: Buffer): [line: string, rest: Buffer] {
  const end = bytes.indexOf(LINE_END);
  if (end === -1) throw new TypeError('it is cut short');
  return [bytes.toString('utf8', 0, end), bytes.subarray(end + 1)];
}

function filesOf(entries: readonly Entry[], contents: Buffer): ManifestFile[] {
  let end = 0;
  const files = entries.map(({ path, blob, size }): ManifestFile => {
    const bytes = contents.subarray(end, end + size);
    end += size;
    return { path, blob, size, read: async () => bytes };
  });
  if (end !== contents.length) throw new TypeError('its list does not fit its contents');
  return files;
}
