/** Bounds on outside input: generous for any real fleet, small enough that hostile files cost little. */
export const limits = {
  /** A larger file is not read at all. */
  fileBytes: 4 * 1024 * 1024,
  /** Of all files together. */
  setBytes: 64 * 1024 * 1024,
  /**
   * UTF-16 units of one document, the text between two `---` lines, without the lines that sealed keys consist of: a
   * hostile one holds the event loop for a second.
   */
  documentLength: 128 * 1024,
  /** In all files together. */
  documents: 100_000,
  /** Of mappings and sequences inside a document. */
  depth: 16,
  /** Errors shown of one document. */
  findingsPerDocument: 50,
  /** Errors shown of one set: whoever has more has a slip in a script. */
  findings: 10_000,
  /** Files read at a time. */
  concurrentReads: 32,
} as const;
