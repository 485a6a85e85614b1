import { ExitCode, OmniError } from '../errors.ts';
import type { FleetObject, PublicKey } from '../manifest/model.ts';
import { refOf } from '../reconcile/share.ts';
import type { LineOrigin, Revision } from '../source/source.ts';
import type { Contact, RolloutReport, WhyReport } from './api.ts';
import { messageOf } from './lock.ts';
import type { Parts } from './parts.ts';
import { ApiFailure, badRequest } from './server.ts';
import { contactOf } from './status.ts';
import { find, type Known, suggestion } from './why/find.ts';
import { type Circumstances, notesOf } from './why/notes.ts';
import { findingsOf } from './why/report.ts';

/** What git has to say is worth waiting for, but not worth being without the rest. */
const BLAME_TIMEOUT_MS = 3_000;
const MAX_QUERY = 200;
/** Things that one question can mean; a person asks again more precisely. */
const MAX_SUBJECTS = 20;

export interface WhyParts extends Pick<Parts, 'reconciler' | 'dataPlane' | 'manager' | 'fleets' | 'source' | 'node'> {
  /** Which revision waits and why, and which keys stay out; absent: none. */
  readonly rollout?: { report(): Pick<RolloutReport, 'waiting' | 'revoked'> };
}

/**
 * From something that the kernel holds, or ought to, back to who asked for it. `query`: an object, a VIP address, a MAC, a
 * session's id, a row's key, a public key or the beginning of one. Throws `nothing-known` (404).
 */
export async function whyOf(parts: WhyParts, query: string, signal: AbortSignal): Promise<readonly WhyReport[]> {
  const asked = query.trim();
  if (asked === '' || asked.length > MAX_QUERY) throw badRequest(`q is not a text of 1 to ${MAX_QUERY} characters`);
  const [sessions, peers] = await Promise.all([parts.dataPlane.sessions.list(), parts.manager.status()]);
  const view = parts.reconciler.view();
  const { fleets, labels } = fleetsOf(parts);
  const { waiting, revoked = [] } = parts.rollout?.report() ?? {};
  const known: Known = { view, fleets, sessions, revoked: revoked.map(({ publicKey }) => publicKey) };
  const subjects = find(asked, known).slice(0, MAX_SUBJECTS);
  if (subjects.length === 0) throw nothingKnown(asked, suggestion(asked, known));
  const about: Circumstances = {
    node: parts.node,
    labels,
    revocations: revoked,
    contacts: new Map(peers.map((each): [PublicKey, Contact] => [each.peer, contactOf(each)])),
    ...(waiting && { waiting: `${waiting.reason}: ${waiting.message}` }),
  };
  // All that is read of the live view is read before anything is waited for.
  const found = subjects.map((subject) => {
    const findings = findingsOf(subject, known);
    return { findings, notes: notesOf(findings, known, about) };
  });
  const revision = parts.fleets.at(view.target?.revision)?.revision;
  const blame = blameOf(parts, revision, signal);
  return Promise.all(
    found.map(async ({ findings, notes }): Promise<WhyReport> => {
      const { subject, rows, objects } = findings;
      const commits = await Promise.all(objects.map((object) => blame(object)));
      return {
        subject,
        rows,
        sessions: findings.sessions,
        objects: objects.map((object, at) => {
          const commit = commits[at];
          return { object: refOf(object), position: object.position, ...(commit?.origin && { commit: commit.origin }) };
        }),
        ...(revision === undefined ? {} : { revision }),
        notes: [...notes, ...new Set(commits.flatMap(({ problem }) => problem ?? []))],
      };
    }),
  );
}

/** The fleet in force, then the newest if it is another one. */
function fleetsOf({ reconciler, fleets }: WhyParts): Pick<Known, 'fleets'> & Pick<Circumstances, 'labels'> {
  const inForce = reconciler.view().target;
  const newest = fleets.newest;
  const both = [
    ...(inForce === undefined ? [] : [{ fleet: inForce.fleet, label: inForce.revision }]),
    ...(newest === undefined || newest.fleet === inForce?.fleet
      ? []
      : [{ fleet: newest.fleet, label: newest.revision.label }]),
  ];
  return { fleets: both.map(({ fleet }) => fleet), labels: both.map(({ label }) => label) };
}

interface Blamed {
  readonly origin?: LineOrigin;
  /** Why nobody can tell, for people. */
  readonly problem?: string;
}

/** Asks once per place; all at the same time. */
function blameOf(
  { source }: WhyParts,
  revision: Revision | undefined,
  signal: AbortSignal,
): (object: FleetObject) => Promise<Blamed> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(BLAME_TIMEOUT_MS)]);
  const asked = new Map<string, Promise<Blamed>>();
  const ask = async ({ position: { file, line } }: FleetObject): Promise<Blamed> => {
    if (revision === undefined || source.blame === undefined) return {};
    try {
      const origin = await source.blame(revision.id, file, line, limited);
      return origin === undefined ? {} : { origin };
    } catch (error) {
      signal.throwIfAborted();
      const why = limited.aborted ? 'git did not answer in time' : messageOf(error);
      return { problem: `who wrote it cannot be told: ${why}` };
    }
  };
  return (object) => {
    const place = `${object.position.file}:${object.position.line}`;
    const known = asked.get(place) ?? ask(object);
    asked.set(place, known);
    return known;
  };
}

function nothingKnown(query: string, near: string | undefined): ApiFailure {
  const shown = JSON.stringify(query);
  const fix =
    near === undefined
      ? 'Ask for peer/NAME, vip/NAME, a VIP address, a MAC, a session id, a row key or a public key; omni get lists what there is.'
      : `Did you mean ${near}?`;
  return new ApiFailure(
    404,
    new OmniError(`nothing on this node and in its fleet is called ${shown}`, {
      code: 'nothing-known',
      class: 'stall',
      exitCode: ExitCode.failed,
      fix,
    }),
  );
}
