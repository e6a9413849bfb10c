import { describe, expect, it } from "vitest";
import { loadingBand, rowsOf, voltageBand, voltageOf, worstLoading, worstVoltage } from "../src/bands";

describe("bands", () => {
  it("read 1.0 pu from the middle code", () => {
    expect(voltageOf(1)).toBeCloseTo(0.8);
    expect(voltageOf(254)).toBeCloseTo(1.2);
    expect(voltageOf(127)).toBeCloseTo(0.9992, 3);
    expect(voltageOf(0)).toBeNull();
    expect(voltageOf(255)).toBeNull();
  });

  it.each([
    [127, "normal"],
    [0, "dead"],
    [255, "unknown"],
    [60, "bad"],
    [66, "warn"],
    [200, "bad"],
  ] as const)("say that voltage code %i is %s between 0.9 and 1.1 pu", (code, band) => {
    expect(voltageBand(code, 0.9, 1.1)).toBe(band);
  });

  it.each([
    [20, "normal"],
    [95, "warn"],
    [100, "warn"],
    [101, "bad"],
    [254, "unknown"],
    [255, "dead"],
  ] as const)("say that loading code %i is %s", (code, band) => {
    expect(loadingBand(code)).toBe(band);
  });

  it("find the bus farthest from its rated voltage, and a dead one first", () => {
    expect(worstVoltage(Uint8Array.of(127, 140, 90, 127), [[0, 4]])).toBe(90);
    expect(worstVoltage(Uint8Array.of(127, 0, 90), [[0, 3]])).toBe(0);
    expect(worstVoltage(Uint8Array.of(255, 255), [[0, 2]])).toBe(255);
    expect(worstVoltage(Uint8Array.of(10, 130, 131), [[1, 3]])).toBe(131);
  });

  it("find the highest loading among the live ones", () => {
    expect(worstLoading(Uint8Array.of(10, 255, 80, 254), rowsOf([[0, 4]]))).toBe(80);
    expect(worstLoading(Uint8Array.of(255, 255), [0, 1])).toBe(255);
    expect(worstLoading(Uint8Array.of(255, 254), [0, 1])).toBe(254);
  });
});
