// A process that holds a kernel data plane in the network namespace it was started in, and does what its parent asks:
// { id, target: 'own' | 'plane' | 'sessions' | 'messages', method, args } -> { id, result | error, writes, now }. See remote-plane.ts.
import { createKernelDataPlane } from '../../dist/src/dataplane/kernel/plane.js';

/** Signals cross as what they were when the call was made. */
function signalOf(arg) {
  if (arg?.signal === 'idle') return new AbortController().signal;
  return arg?.signal === 'aborted' ? AbortSignal.abort(new Error(arg.reason)) : arg;
}

const stops = new Map();
let plane;
let received = 0;

function send(message) {
  process.send?.({ ...message, writes: plane?.writes ?? 0, now: plane?.sessions.now() ?? 0 });
}

const own = {
  create(options) {
    plane = createKernelDataPlane({
      ...options,
      log: (level, text, fields) => send({ event: 'log', value: [level, text, fields] }),
    });
  },
  /** Handshake sockets on the port, as an agent has them. */
  async occupy(port) {
    const onDatagram = () => void received++;
    for (const family of [4, 6]) await plane.bindSocket({ family, port, onDatagram, onError: console.error });
  },
  /** Datagrams that got into those sockets. */
  received: () => received,
  watch() {
    stops.set(
      'watch',
      plane.watch((keys) => send({ event: 'wake', value: keys })),
    );
  },
  listen() {
    stops.set(
      'listen',
      plane.sessions.onEvent((event) => send({ event: 'session', value: event })),
    );
  },
  receive() {
    stops.set(
      'receive',
      plane.messages.onMessage((message) => send({ event: 'message', value: message })),
    );
  },
  async stop(what) {
    await stops.get(what)?.();
  },
};

async function perform({ target, method, args }) {
  if (target === 'own') return own[method](...args);
  const object = target === 'plane' ? plane : plane[target];
  return object[method](...args.map(signalOf));
}

process.on('message', async (request) => {
  try {
    send({ id: request.id, result: await perform(request) });
  } catch (error) {
    const { message, code, class: kind, fix, exitCode } = error;
    send({ id: request.id, error: { message, code, class: kind, fix, exitCode } });
  }
});
process.on('disconnect', () => process.exit(0));
