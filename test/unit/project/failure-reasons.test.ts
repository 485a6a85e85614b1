import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { projectRoot } from '../../../lab/lab.ts';
import { HandshakeCounts } from '../../../src/session/counts.ts';

const reasons = Object.keys(new HandshakeCounts().failed());
const read = (path: string) => readFileSync(join(projectRoot, path), 'utf8');

it('the manual explains why a handshake may fail, every reason and only those', () => {
  const [, chapter = ''] = /## Why handshakes fail\n(.*?)\n## /s.exec(read('docs/operations.md')) ?? [];
  const explained = [...chapter.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name);
  expect(explained.toSorted()).toEqual(reasons.toSorted());
});

it('the protocol’s page names them', () => {
  const [, list = ''] = /by reason \(`omni_handshakes_failed_total`\): ([^.]*)\./s.exec(read('docs/protocol.md')) ?? [];
  expect([...list.matchAll(/`([^`]+)`/g)].map(([, name]) => name).toSorted()).toEqual(reasons.toSorted());
});
