// Follows the binary feed: 28 bytes of header and a zlib stream, whole or as exclusive or with the frame before.
// The layout is written down in control_room/feed.py.

export const HEADER_BYTES = 28;

export interface Frame {
  sequence: number;
  timeNs: number;
  voltage: Uint8Array;
  loading: Uint8Array;
  switches: Uint8Array;
}

export class BrokenFeed extends Error {}

/** Decodes frames in the order they come; a broken one means: connect again and get a keyframe. */
export class FeedDecoder {
  private sequence = -1;
  private codes: Uint8Array = new Uint8Array(0);

  async push(data: ArrayBuffer): Promise<Frame> {
    if (data.byteLength < HEADER_BYTES) throw new BrokenFeed("frame too short");
    const view = new DataView(data);
    if (view.getUint8(0) !== 0x47 || view.getUint8(1) !== 0x4c || view.getUint8(2) !== 1) {
      throw new BrokenFeed("not a frame of version 1");
    }
    const isKeyframe = (view.getUint8(3) & 1) === 1;
    const sequence = view.getUint32(4, true);
    const nBus = view.getUint32(16, true);
    const nBranch = view.getUint32(20, true);
    const codes = await inflate(data.slice(HEADER_BYTES), nBus + nBranch + view.getUint32(24, true));
    if (!isKeyframe) this.apply(codes, sequence);
    this.sequence = sequence;
    this.codes = codes;
    return {
      sequence,
      timeNs: Number(view.getBigInt64(8, true)),
      voltage: codes.subarray(0, nBus),
      loading: codes.subarray(nBus, nBus + nBranch),
      switches: codes.subarray(nBus + nBranch),
    };
  }

  private apply(codes: Uint8Array, sequence: number): void {
    if (sequence !== this.sequence + 1 || codes.length !== this.codes.length) {
      throw new BrokenFeed(`frame ${sequence} does not follow on ${this.sequence}`);
    }
    for (let at = 0; at < codes.length; at++) codes[at]! ^= this.codes[at]!;
  }
}

async function inflate(data: ArrayBuffer, size: number): Promise<Uint8Array> {
  let raw: ArrayBuffer;
  try {
    const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate"));
    raw = await new Response(stream).arrayBuffer();
  } catch {
    throw new BrokenFeed("frame cannot be inflated");
  }
  if (raw.byteLength !== size) throw new BrokenFeed(`frame holds ${raw.byteLength} bytes, not ${size}`);
  return new Uint8Array(raw);
}
