import fc from 'fast-check';
import { micromark } from 'micromark';
import { gfm, gfmHtml } from 'micromark-extension-gfm';
import { describe, expect, it } from 'vitest';
import type { RevisionComparison } from '../../../src/cli/revisions.ts';
import { comparisonComment } from '../../../src/cli/views/comment.ts';
import { manifestChanges } from '../../../src/cli/views/manifests.ts';
import { code, codeHtml, details, fenced, table } from '../../../src/cli/views/markdown.ts';
import type { Fleet, Position } from '../../../src/manifest/model.ts';
import { operationsOf } from '../../../src/reconcile/impact/node.ts';
import { impact } from '../../../src/reconcile/impact.ts';
import { cluster, edit, fleetOf, fleetWith, hint, keyOf, peer, vip } from '../reconcile/fleet.ts';

/** As a browser gets it, raw HTML included. */
function rendered(markdown: string): string {
  return micromark(markdown, { extensions: [gfm()], htmlExtensions: [gfmHtml()], allowDangerousHtml: true });
}

/** What is left of a page where code is taken out: there, nothing from outside may be. */
function outsideCode(html: string): string {
  return html.replace(/<pre>.*?<\/pre>/gs, '').replace(/<code>.*?<\/code>/gs, '');
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

const HOSTILE = [
  '@everyone #1 !1 GH-1 https://evil.example/ www.evil.example evil@evil.example',
  '`code` ``two`` ```three',
  '[link](https://evil.example) ![image](https://evil.example/x.png) [ref]: https://evil.example',
  '<script>alert(1)</script> <img src=x> </details> </summary> <!-- comment',
  'a | b \\| c \\\\| d',
  '*bold* _italic_ ~~gone~~ **strong**',
  'one\n# two\n\n- three\r\n> four\n```',
  '| a | b |\n|---|---|',
  '\u202eright to left\u202c \u001b[31mred',
  '    ',
  '\\',
  '`',
  '&lt;script&gt; &#96; &amp;',
  '$x$ :smile: [[wiki]] {{template}}',
];

describe('text from outside', () => {
  const anyText = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.constantFrom(...HOSTILE),
    fc
      .array(
        fc.constantFrom(
          '`',
          '|',
          '\\',
          '<',
          '>',
          '[',
          ']',
          '(',
          ')',
          '*',
          '_',
          '@',
          '\n',
          ' ',
          'a',
          '&',
          '#',
          '!',
          '~',
        ),
        {
          maxLength: 20,
        },
      )
      .map((parts) => parts.join('')),
  );

  it('stays text in a cell, which stays one cell', () => {
    fc.assert(
      fc.property(anyText, anyText, (one, other) => {
        const html = rendered(table(['a', 'b'], ['-', '-'], [[code(one), code(other)]]));
        expect(outsideCode(html).replace(/<\/?(table|thead|tbody|tr|th|td)>|\s/g, '')).toBe('ab');
        expect([count(html, /<td>/g), count(html, /<code>/g)]).toEqual([2, 2]);
      }),
      { numRuns: 2_000 },
    );
  });

  it('stays text in a sentence, in a summary, and in a block', () => {
    fc.assert(
      fc.property(anyText, fc.array(anyText, { maxLength: 4 }), (one, lines) => {
        expect(outsideCode(rendered(`before ${code(one)} after`))).toBe('<p>before  after</p>');
        const html = rendered(details(codeHtml(one), fenced(lines, 'diff')));
        expect(outsideCode(html).replace(/\s/g, '')).toBe('<details><summary></summary></details>');
      }),
      { numRuns: 2_000 },
    );
  });

  it('is readable where it is harmless', () => {
    expect(code('peer/robot-17')).toBe('`peer/robot-17`');
    expect(rendered(code('a | `b`'))).toBe('<p><code>a | `b`</code></p>');
  });
});

function comparison(before: Fleet, after: Fleet, subject = 'a change'): RevisionComparison {
  const { objects, nodes, ...effects } = impact(before, after);
  return {
    ...effects,
    from: { id: '1'.repeat(40), label: `main@sha1:${'1'.repeat(40)}` },
    to: { id: '2'.repeat(40), label: `HEAD@sha1:${'2'.repeat(40)}`, subject },
    before,
    after,
    manifests: manifestChanges(before, after, objects),
    nodes: nodes.map((one) => ({ impact: one, operations: operationsOf(one) })),
  };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

describe('a comment on a pull request', () => {
  it('holds nothing of what names, labels, files and subjects try', () => {
    const at = (n: number): Position => ({ file: `fleet/${HOSTILE[n % HOSTILE.length]}.yaml`, line: 1, column: 1 });
    const numbers = range(1, HOSTILE.length);
    const named = (n: number) => `${HOSTILE[n - 1]} MARK${n}`;
    const before = fleetOf(
      cluster(),
      ...numbers.flatMap((n) => [
        peer(n, { metadata: { name: named(n), labels: { note: 'MARK' } }, position: at(n) }),
        vip(n, { peer: named(n), position: at(n) }),
      ]),
    );
    const after = fleetOf(
      cluster({ port: 4000, position: at(3) }),
      ...numbers.slice(3).map((n) =>
        peer(n, {
          metadata: { name: named(n), labels: { [`${HOSTILE[n - 1]}`]: `MARK ${HOSTILE[n - 1]}` } },
          publicKey: n % 2 === 0 ? keyOf(n + 100) : keyOf(n),
          position: at(n),
        }),
      ),
    );
    for (const subject of HOSTILE) {
      const comment = comparisonComment(comparison(before, after, `MARK ${subject}`));
      const html = rendered(comment);
      const outside = outsideCode(html);
      expect(outside).not.toMatch(/MARK|evil|@everyone|<(a|img|script|em|strong>MARK|del|input)\b/);
      expect(count(html, /<h\d>/g)).toBe(1);
      expect(count(outside, /<details>/g)).toBe(count(outside, /<\/details>/g));
      expect(count(outside, /<table>/g)).toBe(2);
      expect(count(outside, /<!--/g)).toBe(1);
    }
  });

  it('begins with what must not be missed', () => {
    const before = fleetWith(...range(1, 20));
    const gone = range(2, 12).flatMap((n) => [`peer/robot-${n}` as const, `vip/vip-${n}` as const]);
    const [, heading, , , , caution] = comparisonComment(comparison(before, edit(before, [], gone).fleet)).split('\n');
    expect(heading).toBe(
      '### omni diff: 9 nodes would wait for a human, 9 nodes lose a peer, 11 nodes leave, 9 nodes change, 99 sessions cut',
    );
    expect(caution).toBe('> [!CAUTION]');
  });

  it('keeps to its length, says what it left out, and closes what it opened', () => {
    const before = fleetWith(...range(1, 120));
    // Characters that each take several to write down, and nodes that each do something else.
    const position: Position = { file: `${'`|\\'.repeat(50)}.yaml`, line: 1, column: 1 };
    const own = range(1, 120).map((n) =>
      peer(n, { endpoints: [hint(`${'long.'.repeat(n % 7)}robot-${n}.lan`)], position }),
    );
    const comment = comparisonComment(comparison(before, edit(before, own).fleet));
    expect(comment.length).toBeLessThanOrEqual(60_000);
    expect(comment).toMatch(
      /\n\*\*Cut\*\*: 1 part more would not fit into a comment\. `omni diff --rev 1{12}\.\.2{12}` shows all\.\n$/,
    );
    expect(comment).toContain('120 nodes');
    const outside = outsideCode(rendered(comment));
    expect(count(outside, /<details>/g)).toBe(count(outside, /<\/details>/g));
  });

  it('is the same each time', () => {
    const [before, after] = [fleetWith(...range(1, 9)), fleetWith(...range(3, 12))];
    expect(comparisonComment(comparison(before, after))).toBe(comparisonComment(comparison(before, after)));
  });
});
