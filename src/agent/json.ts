/** JSON as the control API has it (`Json<T>` of `api.ts`): u64 as decimal strings, maps as records. */
export function encodeJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return part.toString();
    if (part instanceof Map) return Object.fromEntries(part);
    return part;
  });
}
