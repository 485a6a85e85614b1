import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { limits } from '../../../src/manifest/limits.ts';
import { createFleetReader, filesFromPaths, filesFromTexts } from '../../../src/manifest/load.ts';
import { noStdin } from './support.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'omni-files-'));
  for (const folder of ['fleet', 'fleet/below', 'fleet/.git']) mkdirSync(join(cwd, folder));
  for (const file of ['a.yaml', 'b.YML', 'c.json', 'd.txt', 'e.yaml.bak', 'below/f.yaml', '.git/g.yaml']) {
    writeFileSync(join(cwd, 'fleet', file), `# ${file}\n`);
  }
});
afterEach(() => rmSync(cwd, { recursive: true }));

async function pathsOf(paths: readonly string[], recursive = false): Promise<string[]> {
  return (await filesFromPaths(paths, { recursive, stdin: noStdin, cwd })).map(({ path }) => path).sort();
}

async function* stream(...chunks: readonly (string | Uint8Array)[]): AsyncGenerator<string | Uint8Array> {
  yield* chunks;
}

test('a folder gives its YAML and JSON files, and with -R those below', async () => {
  expect(await pathsOf(['fleet'])).toEqual(['fleet/a.yaml', 'fleet/b.YML', 'fleet/c.json']);
  expect(await pathsOf(['fleet'], true)).toEqual(['fleet/a.yaml', 'fleet/b.YML', 'fleet/below/f.yaml', 'fleet/c.json']);
});

test('a named file is read whatever its name, and counts once', async () => {
  expect(await pathsOf(['fleet/d.txt', './fleet/d.txt', 'fleet/../fleet/a.yaml', 'fleet'])).toEqual([
    'fleet/a.yaml',
    'fleet/b.YML',
    'fleet/c.json',
    'fleet/d.txt',
  ]);
});

test('links to files are followed, links to folders and dangling ones are told apart', async () => {
  symlinkSync('a.yaml', join(cwd, 'fleet/link.yaml'));
  symlinkSync('..', join(cwd, 'fleet/loop'));
  expect(await pathsOf(['fleet'], true)).toContain('fleet/link.yaml');
  expect((await pathsOf(['fleet'], true)).filter((path) => path.includes('loop'))).toEqual([]);
  symlinkSync('nowhere', join(cwd, 'fleet/dangling.yaml'));
  await expect(pathsOf(['fleet'])).rejects.toMatchObject({ code: 'path-unreadable', exitCode: 2 });
});

test('what is not there is an error that names it', async () => {
  await expect(pathsOf(['fleet', 'gone.yaml'])).rejects.toMatchObject({
    code: 'path-unreadable',
    exitCode: 2,
    object: 'gone.yaml',
    message: 'gone.yaml: there is no such file or folder',
  });
});

test('stdin is read once, in whatever pieces it comes', async () => {
  const euro = Buffer.from('# €\n');
  const files = await filesFromPaths(['-'], { stdin: stream(euro.subarray(0, 3), euro.subarray(3), 'x: 1\n') });
  expect(files.map(({ path }) => path)).toEqual(['<stdin>']);
  expect(Buffer.from((await files[0]?.read()) ?? []).toString()).toBe('# €\nx: 1\n');
  await expect(filesFromPaths(['-', '-'], { stdin: stream('x') })).rejects.toMatchObject({
    code: 'stdin-twice',
    exitCode: 2,
  });
});

test('endless stdin and huge files are given up, and reported as too large', async () => {
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) yield new Uint8Array(65_536);
  }
  writeFileSync(join(cwd, 'fleet/huge.yaml'), ' '.repeat(limits.fileBytes + 1));
  const files = await filesFromPaths(['-', 'fleet/huge.yaml'], { stdin: endless(), cwd });
  const { diagnostics } = await createFleetReader().read(files);
  expect(diagnostics.map(({ rule, position }) => [rule, position.file])).toEqual([
    ['file-too-large', '<stdin>'],
    ['file-too-large', 'fleet/huge.yaml'],
  ]);
});

test('a named pipe is read to its end', async () => {
  const pipe = join(cwd, 'pipe');
  execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', pipe]);
  const reading = filesFromPaths([pipe], { stdin: noStdin });
  // Opening a pipe waits for the other end: not in this process.
  execFile('sh', ['-c', 'echo "kind: Peer" > "$1"', 'sh', pipe]);
  const [file] = await reading;
  expect(file?.size).toBe(11);
});

test('equal texts have equal blobs, others have others', () => {
  const [a, b, c] = filesFromTexts([
    { path: 'a', text: 'x' },
    { path: 'b', text: 'x' },
    { path: 'a', text: 'y' },
  ]);
  expect(a?.blob).toBe(b?.blob);
  expect(a?.blob).not.toBe(c?.blob);
});
