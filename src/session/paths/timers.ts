/**
 * Times and limits of paths, milliseconds of `SessionPlane.now()`; docs/protocol.md, "Paths", is the normative list.
 */

/** Pauses after each challenge of a check; the last one ends it. */
export const CHALLENGE_PAUSES_MS: readonly number[] = [250, 500, 1_000];
/** Of the path in use, once full frames did not get through: loss is no lack of size. */
export const PATIENT_PAUSES_MS: readonly number[] = [250, 250, 500, 500, 500, 1_000];
/** Of a path that did not answer the last check: it gets one chance a round. */
export const DEAD_PAUSES_MS: readonly number[] = [1_000];
/** Of the path in use, once it is suspected: it must be left, or trusted again, soon. */
export const SUSPECT_PAUSES_MS: readonly number[] = [100, 100, 100, 100, 100, 200];
/** Where challenges got lost lately although the path lives, more of them are no proof of its death: twice as many are. */
export const LOSSY_PAUSES_MS: readonly number[] = [...Array.from({ length: 11 }, () => 60), 200];
export const LOSSY_MS = 60_000;
/** An answer counts for so long. */
export const ANSWER_MS = 5_000;

/** Frames went out and nothing came back for so long: the path in use is suspected, where there are others. */
export const SILENT_MS = 750;
/** The suspect did not answer for so long: the others are asked. */
export const ASK_OTHERS_MS = 250;
/** After a suspicion that led nowhere; doubles up to the second. */
export const SUSPECT_AGAIN_MS = 2_000;
export const SUSPECT_AGAIN_MAX_MS = 16_000;

/** Alternatives are asked this often, and the path in use with them, */
export const WARM_MS = 25_000;
/** for so long after the last frame, or for good where the peer has a keepalive. */
export const IN_USE_MS = 60_000;
/** The first round after a session came up, or after a change of what there is to ask. */
export const FIRST_ROUND_MS = 2_000;
/** Frames moved so recently: statistics are looked at as often as SILENT_MS asks for, */
export const BUSY_MS = 5_000;
/** else as often as this. */
export const LOOK_MS = 2_500;
/** Never sooner than this after the last look. */
export const LOOK_MIN_MS = 250;
/** Looks fall on multiples of this. */
export const LOOK_GRID_MS = 50;
/** What answered or carried something within this lives. */
export const LIVE_MS = 60_000;
/** What carried something within this is good enough to be left alone by a handshake that came from elsewhere. */
export const HEARD_MS = 10_000;

/** Another path is faster if its round trip is shorter than this share of the one's in use, */
export const FASTER_SHARE = 0.7;
/** and by so much at least, */
export const FASTER_BY_MS = 1;
/** in so many rounds in a row. */
export const FASTER_ROUNDS = 3;
/** So many rounds in a row the path in use carried small frames and no full ones. */
export const SMALL_ROUNDS = 3;
/** An alternative that no manifest names is forgotten after so many rounds without an answer. */
export const FORGET_ROUNDS = 3;

/** Of two ends that both moved, the preferred one stays for so long, while its path answers: else they swap for ever. */
export const HOLD_MS = 2_000;
/** The peer is told to send from a place at least this often while it does (SessionEvent `path-seen`: once a second). */
export const SEEN_AGAIN_MS = 3_000;

/** What the peer sent by its old path arrives this much later at most than what it sends by the new one. */
export const LATE_MS = 500;

/** Paths of one peer, whatever their origin; */
export const MAX_PATHS = 8;
/** and how many of them may be places that were only seen. */
export const MAX_SEEN = 4;
/** Challenges of one peer that are answered within a second. */
export const RESPONSES_PER_SECOND = 32;
/** Challenges of one path whose answers are waited for. */
export const MAX_ASKED = 16;
