/** Frames of a classic little-endian pcap file (the format that tcpdump -w writes). */
function frames(pcap: Buffer): Buffer[] {
  const magic = pcap.readUInt32LE(0);
  if (magic !== 0xa1b2c3d4 && magic !== 0xa1b23c4d) throw new Error(`no pcap file: magic ${magic.toString(16)}`);
  const found: Buffer[] = [];
  for (let at = 24; at + 16 <= pcap.length; ) {
    const length = pcap.readUInt32LE(at + 8);
    found.push(pcap.subarray(at + 16, at + 16 + length));
    at += 16 + length;
  }
  return found;
}

export interface Datagram {
  readonly frame: Buffer;
  readonly source: string;
  readonly destination: string;
  readonly destinationPort: number;
  readonly payload: Buffer;
}

/** The IPv4 UDP datagrams among them. */
export function datagrams(pcap: Buffer): Datagram[] {
  return frames(pcap).flatMap((frame) => {
    if (frame.length < 42 || frame.readUInt16BE(12) !== 0x0800 || frame[23] !== 17) return [];
    const text = (offset: number) => [...frame.subarray(offset, offset + 4)].join('.');
    const payload = frame.subarray(42, 34 + frame.readUInt16BE(38));
    return [{ frame, source: text(26), destination: text(30), destinationPort: frame.readUInt16BE(36), payload }];
  });
}
