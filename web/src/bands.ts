// What the feed's bytes mean, and when a value is no longer normal.

export const V_DEAD = 0;
export const V_UNKNOWN = 255;
export const LOADING_UNKNOWN = 254;
export const LOADING_DEAD = 255;
export const WARN_LOADING_PCT = 90;
export const MAX_LOADING_PCT = 100;

/** Share of the allowed band, next to a limit, in which a voltage is worth a look. */
const WARN_SHARE = 0.05;

export type Band = "normal" | "warn" | "bad" | "dead" | "unknown";

/** Voltage of a code [pu], or null if the bus is dead or not known. */
export function voltageOf(code: number): number | null {
  return code === V_DEAD || code === V_UNKNOWN ? null : 0.8 + ((code - 1) / 253) * 0.4;
}

/** Loading of a code [%], or null if the branch is dead or not known. */
export function loadingOf(code: number): number | null {
  return code >= LOADING_UNKNOWN ? null : code;
}

export function voltageBand(code: number, minPu: number, maxPu: number): Band {
  if (code === V_DEAD) return "dead";
  const value = voltageOf(code);
  if (value === null) return "unknown";
  const half = 0.2 / 253; // half a step of the code: a value on the limit is within it
  if (value < minPu - half || value > maxPu + half) return "bad";
  const margin = (maxPu - minPu) * WARN_SHARE;
  return value < minPu + margin || value > maxPu - margin ? "warn" : "normal";
}

export function loadingBand(code: number): Band {
  if (code === LOADING_DEAD) return "dead";
  if (code === LOADING_UNKNOWN) return "unknown";
  if (code > MAX_LOADING_PCT) return "bad";
  return code > WARN_LOADING_PCT ? "warn" : "normal";
}

/** The code of the bus farthest from the middle of its band; dead beats all, unknown loses to all. */
export function worstVoltage(codes: Uint8Array, ranges: readonly (readonly [number, number])[]): number {
  let worst = V_UNKNOWN;
  let farthest = -1;
  for (const [start, stop] of ranges) {
    for (let at = start; at < stop; at++) {
      const code = codes[at] ?? V_UNKNOWN;
      if (code === V_DEAD) return V_DEAD;
      const distance = code === V_UNKNOWN ? -1 : Math.abs(code - 127.5);
      if (distance > farthest) {
        farthest = distance;
        worst = code;
      }
    }
  }
  return worst;
}

/** The highest loading; dead only if all are. */
export function worstLoading(codes: Uint8Array, rows: Iterable<number>): number {
  let worst = LOADING_DEAD;
  for (const row of rows) {
    const code = codes[row] ?? LOADING_UNKNOWN;
    if (code === LOADING_DEAD) continue;
    if (worst === LOADING_DEAD || worst === LOADING_UNKNOWN || (code !== LOADING_UNKNOWN && code > worst)) worst = code;
  }
  return worst;
}

export function* rowsOf(ranges: readonly (readonly [number, number])[]): Generator<number> {
  for (const [start, stop] of ranges) for (let row = start; row < stop; row++) yield row;
}
