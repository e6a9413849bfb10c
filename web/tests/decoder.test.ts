import { describe, expect, it } from "vitest";
import { BrokenFeed, FeedDecoder, HEADER_BYTES } from "../src/decoder";

async function frame(sequence: number, codes: number[], sizes: [number, number, number], keyframe: boolean): Promise<ArrayBuffer> {
  const deflated = new Blob([Uint8Array.from(codes)]).stream().pipeThrough(new CompressionStream("deflate"));
  const body = new Uint8Array(await new Response(deflated).arrayBuffer());
  const data = new ArrayBuffer(HEADER_BYTES + body.length);
  const view = new DataView(data);
  [0x47, 0x4c, 1, keyframe ? 1 : 0].forEach((byte, at) => view.setUint8(at, byte));
  view.setUint32(4, sequence, true);
  view.setBigInt64(8, 1_606_000_000_000_000_000n, true);
  sizes.forEach((size, at) => view.setUint32(16 + 4 * at, size, true));
  new Uint8Array(data).set(body, HEADER_BYTES);
  return data;
}

describe("the decoder", () => {
  it("splits a keyframe into buses, branches and switches", async () => {
    const got = await new FeedDecoder().push(await frame(5, [1, 2, 3, 4, 0], [2, 2, 1], true));
    expect([...got.voltage]).toEqual([1, 2]);
    expect([...got.loading]).toEqual([3, 4]);
    expect([...got.switches]).toEqual([0]);
    expect(got.timeNs / 1e9).toBe(1_606_000_000);
  });

  it("follows deltas, also one after the other", async () => {
    const decoder = new FeedDecoder();
    await decoder.push(await frame(1, [10, 20, 30], [1, 1, 1], true));
    await decoder.push(await frame(2, [1, 0, 0], [1, 1, 1], false));
    const got = await decoder.push(await frame(3, [0, 4, 0], [1, 1, 1], false));
    expect([...got.voltage, ...got.loading, ...got.switches]).toEqual([11, 16, 30]);
  });

  it("keeps the frames it gave out as they were", async () => {
    const decoder = new FeedDecoder();
    const first = await decoder.push(await frame(1, [10, 20, 30], [1, 1, 1], true));
    await decoder.push(await frame(2, [255, 255, 255], [1, 1, 1], false));
    expect([...first.voltage]).toEqual([10]);
  });

  it.each([
    ["a delta without a keyframe", frame(2, [1, 1, 1], [1, 1, 1], false)],
    ["a stream longer than promised", frame(1, [1, 1, 1, 1], [1, 1, 1], true)],
    ["a stream shorter than promised", frame(1, [1], [1, 1, 1], true)],
    ["too few bytes", new ArrayBuffer(5)],
    ["other bytes", new ArrayBuffer(60)],
  ])("refuses %s", async (_, data) => {
    await expect(new FeedDecoder().push(await data)).rejects.toBeInstanceOf(BrokenFeed);
  });

  it("refuses a delta that skips a frame", async () => {
    const decoder = new FeedDecoder();
    await decoder.push(await frame(1, [1, 1, 1], [1, 1, 1], true));
    await expect(decoder.push(await frame(3, [1, 1, 1], [1, 1, 1], false))).rejects.toBeInstanceOf(BrokenFeed);
  });
});
