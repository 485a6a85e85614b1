// Decides what in the reports of the sanitizers is a fault of the addon. Pure: scripts/sanitize.mjs reads the files.

/** Frames are modules and offsets (`stack_trace_format` in sanitize.mjs). */
const ADDON = /\/(?:omni_native|faulty)\.node\+0x/;
const NODE = /\/node\+0x/;

/**
 * True if a frame of the addon comes before any of node: the addon or a library that it called allocated the memory.
 * What V8 and Node-API allocate on behalf of the addon is theirs. They leave memory to the end of the process, such as
 * the promise of a load whose worker was terminated.
 */
function isOfAddon(record) {
  const frames = record.split('\n').filter((line) => /^\s*#\d+ /.test(line));
  const own = frames.findIndex((frame) => ADDON.test(frame));
  const others = frames.findIndex((frame) => NODE.test(frame));
  return own !== -1 && (others === -1 || own < others);
}

/**
 * The faults in the text of one report file. A memory error or undefined behaviour is one, in whatever code. Of leaks,
 * those of the addon are.
 */
export function faultsOf(text) {
  if (text.trim() === '') return [];
  if (!text.includes('LeakSanitizer: detected memory leaks')) return [text.trim()];
  return text.split(/\n{2,}/).filter((record) => record.includes(' leak of ') && isOfAddon(record));
}
