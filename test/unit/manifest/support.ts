import { filesFromTexts } from '../../../src/manifest/load.ts';
import type { Fleet, FleetReader, FleetResult } from '../../../src/manifest/model.ts';

/** For `filesFromPaths` where nobody reads stdin. */
export const noStdin: AsyncIterable<Uint8Array> = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('stdin was read')) }),
};

export type Texts = Readonly<Record<string, string>>;

export function readTexts(reader: FleetReader, texts: Texts): Promise<FleetResult> {
  return reader.read(filesFromTexts(Object.entries(texts).map(([path, text]) => ({ path, text }))));
}

export function fleetOf(result: FleetResult): Fleet {
  if (!result.ok) throw new Error(`not valid: ${result.diagnostics.map(({ message }) => message).join('; ')}`);
  return result.fleet;
}
