import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import rules from '../../../schema/rules.json' with { type: 'json' };
import { type AgentSettings, readSettings } from '../../../src/agent/config-settings.ts';
import { renderDiagnostic } from '../../../src/manifest/diagnostic.ts';

const HEAD = 'apiVersion: omni.io/v1alpha1\nkind: AgentConfig\nspec:\n';

function read(text: string): AgentSettings {
  const result = readSettings(Buffer.from(text), 'a.yaml');
  if (result.ok) return result.settings;
  throw new Error(result.diagnostics.map(renderDiagnostic).join('\n'));
}

/** All that is said of a text, without what to do about it. */
function said(text: string | Uint8Array): string[] {
  const result = readSettings(Buffer.from(text), 'a.yaml');
  return result.ok ? [] : result.diagnostics.map((each) => renderDiagnostic(each).replace(/\n {4}fix: .+/, ''));
}

describe('an AgentConfig', () => {
  it('as docs/configuration.md shows it is what it says', () => {
    const page = readFileSync('docs/configuration.md', 'utf8');
    const [, example = ''] = /```yaml\n(.*?)```/s.exec(page) ?? [];
    expect(read(example)).toEqual({
      source: {
        kind: 'git',
        remotes: [
          {
            url: 'ssh://git@git.example/fleet.git',
            sshKeyFile: '/etc/omni/deploy.key',
            knownHostsFile: '/etc/omni/known_hosts',
          },
          {
            url: 'https://mirror.example/fleet.git',
            tokenFile: '/etc/omni/token',
            username: 'omni',
            caFile: '/etc/omni/ca.pem',
          },
        ],
      },
      ref: 'main',
      path: 'fleet',
      intervalMs: 30_000,
      verify: {
        commits: 'head',
        tag: false,
        allowedSignersFile: '/etc/omni/allowed_signers',
        revokedKeysFile: '/etc/omni/revoked_keys',
        openpgpKeysFile: '/etc/omni/keys.asc',
      },
      insecureSource: false,
      webhook: { listen: '127.0.0.1:9587', secretFile: '/etc/omni/webhook.secret' },
      pruneLimit: { objects: 5, percent: 20 },
      windows: [{ days: [1, 2, 3, 4, 5], from: 1_320, to: 300, timeZone: 'Europe/Berlin' }],
      busy: { kind: 'command', command: ['/usr/local/bin/mission-running'], timeoutMs: 2_000, onError: 'busy' },
      underlay: ['eth0'],
      xdpMode: 'auto',
      receiveCpus: 'auto',
      identity: '/var/lib/omni/identity.key',
      pskFile: '/etc/omni/psk',
      stateDir: '/var/lib/omni',
      bpffs: '/sys/fs/bpf',
      socket: '/run/omni/omni.sock',
      metrics: '127.0.0.1:9586',
      logFormat: 'json',
      logLevel: 'info',
    });
  });

  it('as examples/agent.yaml has it is valid, and shows what a robot needs of each part', () => {
    const { source, verify, windows, busy, ...rest } = read(readFileSync('examples/agent.yaml', 'utf8'));
    expect(source).toMatchObject({ kind: 'git', remotes: { length: 2 } });
    expect(verify).toMatchObject({ commits: 'every', allowedSignersFile: expect.any(String) });
    expect(windows).toHaveLength(1);
    expect(busy).toMatchObject({ kind: 'socket', onError: 'busy' });
    expect(Object.keys(rest).sort()).toEqual(
      ['intervalMs', 'logFormat', 'metrics', 'path', 'pruneLimit', 'ref', 'underlay', 'webhook'].sort(),
    );
  });

  it('as docs/operations.md shows parts of it is valid', () => {
    const page = readFileSync('docs/operations.md', 'utf8');
    const parts = [...page.matchAll(/```yaml\n# \/etc\/omni\/agent\.yaml, below spec\.source\n(.*?)```/gs)];
    expect(parts).toHaveLength(2);
    for (const [, part = ''] of parts) {
      expect(read(`${HEAD}  source:\n${part.replace(/^/gm, '    ').trimEnd()}\n`)).not.toEqual({});
    }
  });

  it('that says little leaves the rest to whoever knows the defaults', () => {
    expect(read(`${HEAD}  {}\n`)).toEqual({});
    expect(read('{"apiVersion":"omni.io/v1alpha1","kind":"AgentConfig","spec":{"log":{"level":"warn"}}}')).toEqual({
      logLevel: 'warn',
    });
    expect(
      read(`${HEAD}  rollout:\n    windows: [{ from: 00:00, to: 24:00 }]\n    busy: { socket: /run/b }\n`),
    ).toEqual({
      windows: [{ from: 0, to: 1_440, timeZone: 'UTC' }],
      busy: { kind: 'socket', path: '/run/b', timeoutMs: 2_000, onError: 'busy' },
    });
    expect(read(`${HEAD}  rollout: { pruneLimit: 12 }\n`)).toEqual({ pruneLimit: { objects: 12, percent: 0 } });
    expect(read(`${HEAD}  source: { verify: { tag: true, openpgpKeysFile: /k } }\n`)).toEqual({
      verify: { commits: 'off', tag: true, openpgpKeysFile: '/k' },
    });
  });

  const cases: readonly (readonly [string, string, readonly string[]])[] = [
    ['nothing', '# later\n', ['a.yaml:1:1: error: the file holds 0 documents, and must hold one [config-count]']],
    [
      'two documents',
      `${HEAD}  {}\n---\n${HEAD}  {}\n`,
      ['a.yaml:1:1: error: the file holds 2 documents, and must hold one [config-count]'],
    ],
    ['a list', '- a\n', ['a.yaml:1:1: error: the document is a list, and must be an AgentConfig [config-kind]']],
    [
      'a manifest',
      'apiVersion: omni.io/v1alpha1\nkind: Peer\nmetadata: { name: a }\n',
      [
        'a.yaml:1:1: error: the document is of apiVersion omni.io/v1alpha1 and kind Peer, and must be an AgentConfig [config-kind]',
      ],
    ],
    [
      'the form of version 0.1',
      'ref: main\nmetrics: 127.0.0.1:1\n',
      [
        'a.yaml:1:1: error: "ref" is a flag, not a setting [config-flag]',
        'a.yaml:2:1: error: "metrics" is a flag, not a setting [config-flag]',
      ],
    ],
    [
      'no spec',
      'apiVersion: omni.io/v1alpha1\nkind: AgentConfig\n',
      ['a.yaml:1:1: error: an AgentConfig lacks the field "spec" [field-missing]'],
    ],
    ['broken YAML', `${HEAD}  log: { level\n`, ['[yaml-syntax]']],
    ['an alias', `${HEAD}  log: &a {}\n  control: *a\n`, ['[yaml-feature]', '[yaml-feature]']],
    [
      'a key given twice',
      `${HEAD}  log: {}\n  log: {}\n`,
      ['a.yaml:5:3: error: the key "log" is given twice [yaml-duplicate-key]\n    see: a.yaml:4:3'],
    ],
    [
      'two sources',
      `${HEAD}  source: { directory: /a, remotes: [{ url: "https://a/x" }] }\n`,
      ['a.yaml:4:11: error: spec.source has 2 of `remotes` and `directory`, and must have one [config-either]'],
    ],
    [
      'a remote twice',
      `${HEAD}  source:\n    remotes:\n      - { url: "https://a/x" }\n      - { url: "https://a/x" }\n`,
      ['a.yaml:7:9: error: this remote is given already [remote-duplicate]\n    see: a.yaml:6:9'],
    ],
    ['a helper that runs commands', `${HEAD}  source: { remotes: [{ url: "ext::sh -c x" }] }\n`, ['[remote-invalid]']],
    [
      'a token over http',
      `${HEAD}  source: { remotes: [{ url: "http://a/x", tokenFile: /t }] }\n`,
      ['[remote-invalid]'],
    ],
    ['a ref that is an option', `${HEAD}  source: { ref: --upload-pack=x }\n`, ['[source-invalid]']],
    ['a path that leaves', `${HEAD}  source: { path: ../x }\n`, ['[source-invalid]']],
    [
      'signatures without keys',
      `${HEAD}  source: { verify: { commits: head } }\n`,
      ['a.yaml:4:21: error: signatures are asked for, and no file of trusted keys is named [verify-keys]'],
    ],
    [
      'keys, and no signatures',
      `${HEAD}  source: { verify: { commits: off, revokedKeysFile: /k } }\n`,
      [
        'a.yaml:4:21: error: trusted keys are named, and no signature is asked for: nothing would be verified [verify-off]',
      ],
    ],
    [
      'signatures and calls of a folder',
      `${HEAD}  source:\n    directory: /a\n    verify: { tag: true, openpgpKeysFile: /k }\n    webhook: { listen: "a:1", secretFile: /s }\n`,
      [
        'a.yaml:6:13: error: signatures are asked for, and the source is a folder, which has none [verify-directory]',
        'a.yaml:7:14: error: a webhook is for `remotes`, and the source is a folder, which is watched [webhook-directory]',
      ],
    ],
    [
      'windows that are none',
      `${HEAD}  rollout:\n    windows:\n      - { from: 22:00, to: 22:00 }\n      - { from: 25:00, to: 5, timeZone: Mars/Base, days: [Mo] }\n`,
      ['[field-value]', '[field-type]', '[field-value]'],
    ],
    [
      'windows of no length and of no zone',
      `${HEAD}  rollout:\n    windows:\n      - { from: 22:00, to: 22:00 }\n      - { from: 02:00, to: 05:00, timeZone: Mars/Base }\n`,
      [
        'a.yaml:6:28: error: the window opens and closes at 22:00 [window-empty]',
        'a.yaml:7:45: error: there is no time zone "Mars/Base" on this node [time-zone-unknown]',
      ],
    ],
    [
      'a hook that is two, and one that is none',
      `${HEAD}  rollout: { busy: { command: [x], socket: /s } }\n`,
      [
        'a.yaml:4:20: error: spec.rollout.busy has 2 of `command` and `socket`, and must have one [config-either]',
        'a.yaml:4:32: error: spec.rollout.busy.command[0] is not an absolute path [path-not-absolute]',
      ],
    ],
    ['a hook that asks nobody', `${HEAD}  rollout: { busy: {} }\n`, ['[config-either]']],
    ['a time-out out of bounds', `${HEAD}  rollout: { busy: { socket: /s, timeout: 2h } }\n`, ['[duration-range]']],
    [
      'limits that are none',
      `${HEAD}  rollout: { pruneLimit: 101% }\n`,
      [
        'a.yaml:4:26: error: spec.rollout.pruneLimit is the text "101%", and must be a number such as `12`, or a share such as `20%` [field-value]',
      ],
    ],
    ['a limit below none', `${HEAD}  rollout: { pruneLimit: -1 }\n`, ['[field-value]']],
    ['an address without a port', `${HEAD}  control: { metrics: localhost }\n`, ['[field-value]']],
    [
      'a relative path',
      `${HEAD}  node: { stateDir: state }\n`,
      ['a.yaml:4:21: error: spec.node.stateDir is not an absolute path [path-not-absolute]'],
    ],
  ];

  it.each(cases)('refuses %s, and says where', (_, text, expected) => {
    const found = said(text);
    expect(
      found.map((line, at) => ((expected[at] ?? '').startsWith('[') ? (/\[[a-z-]+\]$/.exec(line)?.[0] ?? '') : line)),
    ).toEqual(expected);
  });

  it('has a case of each rule of its own', () => {
    const seen = new Set(cases.flatMap(([, text]) => said(text)).map((line) => /\[([a-z-]+)\]/.exec(line)?.[1]));
    const own = Object.entries(rules).filter(([, { group }]) => group === 'config');
    expect(own.map(([rule]) => rule).filter((rule) => !seen.has(rule))).toEqual([]);
  });

  it('does not repeat what may be a secret in the place of a file', () => {
    const secret = 'hunter2-very-secret';
    const text = `${HEAD}  source:
    remotes: [{ url: "https://ada:${secret}@a/x.git", tokenFile: ${secret} }, { url: "https://a/x", tokenFile: 17 }]
    webhook: { listen: "a:1", secretFile: ${secret} }
    verify: { allowedSignersFile: [${secret}] }
  node: { pskFile: ${secret} }
`;
    const schema = said(text);
    expect(schema).toHaveLength(5);
    const fixed = said(text.replaceAll(`File: ${secret}`, 'File: /f').replace('17', '/f').replace(`[${secret}]`, '/f'));
    expect(fixed.join()).toContain('[remote-invalid]');
    expect([...schema, ...fixed].join('\n')).not.toMatch(/hunter2|"17"|number 17/);
  });

  it('never throws, whatever the bytes are', () => {
    expect(said(Uint8Array.of(0xff, 0xfe))).toEqual([expect.stringContaining('[not-utf8]')]);
    expect(said('a\0b')).toEqual([expect.stringContaining('[control-character]')]);
    expect(said(`${HEAD}${'  a: {'.repeat(1)}${'['.repeat(5_000)}`).length).toBeGreaterThan(0);
    expect(said('__proto__: { spec: {} }\n')).toEqual([expect.stringContaining('[config-kind]')]);
  });
});
