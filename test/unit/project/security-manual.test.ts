import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../../../lab/lab.ts';

const manual = readFileSync(join(projectRoot, 'docs/security.md'), 'utf8');
const [, findings = ''] = /## The findings of an attack[^\n]*\n(.*?)\n## /s.exec(manual) ?? [];

/** Whoever doubts a line of docs/security.md finds the test that shows it. */
describe('docs/security.md', () => {
  it('has a line for each of the twenty findings', () => {
    const named = [...findings.matchAll(/^- \*\*(S\d+)/gm)].map(([, name]) => name);
    expect(named).toEqual(Array.from({ length: 20 }, (_, at) => `S${at + 1}`));
  });

  it('names files and folders of tests that are there', () => {
    const named = [...findings.matchAll(/`((?:adversary|bpf|netns|property|unit)\/[^`]+)`/g)].map(
      ([, path]) => path ?? '',
    );
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((path) => !existsSync(join(projectRoot, 'test', path)))).toEqual([]);
  });

  it('names tests that those files have', () => {
    const named = [...findings.matchAll(/`([^`]+\.test\.ts)`,? "([^"]+)"/g)];
    expect(named.length).toBeGreaterThan(10);
    const missing = named.filter(
      ([, path = '', title = '']) => !readFileSync(join(projectRoot, 'test', path), 'utf8').includes(title),
    );
    expect(missing.map(([text]) => text)).toEqual([]);
  });
});
