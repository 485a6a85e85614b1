import { humanSpan } from '../format.ts';
import { plural } from '../text.ts';
import type { Field } from './fields.ts';
import type { Clocks, ObjectView } from './objects.ts';

/** Why there is no session with a peer, since when, and where to look: what `omni describe` says in place of one. */
export function noSessionFields({ contact, detail }: ObjectView, { sessionMs }: Clocks): Field[] {
  if (contact === undefined) return [];
  const ago = (timeMs: number): string =>
    sessionMs === undefined ? 'earlier' : `${humanSpan(sessionMs - timeMs)} ago`;
  const { unanswered, lastHandshakeMs } = contact;
  const before: Field | undefined =
    lastHandshakeMs === undefined ? undefined : ['Last handshake', ago(lastHandshakeMs)];
  if (unanswered === undefined) {
    const wanted = detail.endpoints === undefined ? 'it has no endpoint: it must call' : 'traffic to it opens one';
    return [['Session', `none, and none was asked for: ${wanted}`], before];
  }
  const { tries, firstMs, lastMs, endpoint, sent } = unanswered;
  const when = tries === 1 ? ago(lastMs) : `the first ${ago(firstMs)}, the last ${ago(lastMs)}`;
  const next = contact.state === 'handshaking' ? 'still trying' : 'gave up until there is traffic';
  const outcome = sent ? `${plural(tries, 'handshake')} unanswered` : `${plural(tries, 'handshake')} in vain`;
  return [
    { name: 'Session', text: `none: ${outcome}, ${when}; ${next}`, tone: 'bad' },
    ['Tried', endpoint ?? 'nothing: no endpoint is known here'],
    before,
    ['Look at', whereToLook(endpoint, sent)],
  ];
}

function whereToLook(endpoint: string | undefined, sent: boolean): string {
  if (endpoint === undefined)
    return 'the Peer’s endpoints: none is declared, or its name does not resolve; else it must call';
  if (!sent) return `the way to ${endpoint}: this node could not send (route, firewall); omni events --for node`;
  return (
    'that node: does its agent run (omni status), is the endpoint right, is UDP let through? There, drops by mac1 ' +
    'mean another --psk-file or key, failed handshakes by unknown-peer that its revision lacks this node'
  );
}
