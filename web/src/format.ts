// Words and numbers as people read them. Grid time is shown in UTC, as the journal has it.

export function clockTime(ns: number): string {
  return ns > 0 ? new Date(ns / 1e6).toISOString().slice(11, 19) : "--:--:--";
}

export function date(ns: number): string {
  return ns > 0 ? new Date(ns / 1e6).toISOString().slice(0, 10) : "";
}

export function wallTime(ms: number): string {
  return new Date(ms).toLocaleTimeString([], { hour12: false });
}

export function number(value: number | null | undefined, digits: number, unit = ""): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "not known";
  return unit ? `${value.toFixed(digits)} ${unit}` : value.toFixed(digits);
}

/** A figure without needless digits: 78, 0.971, 1.2. */
export function figure(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

export function milliseconds(ms: number): string {
  return ms < 10_000 ? `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function plural(count: number, one: string): string {
  const many = /(s|ch|sh|x)$/.test(one) ? `${one}es` : `${one}s`;
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

const WORDS: Record<string, string> = { min: "lowest", max: "highest", v: "voltage" };
const UNITS = new Set(["mw", "mvar", "kw", "pu", "pct", "ms", "s", "kv", "a", "mwh", "kwh"]);
const SHOWN: Record<string, string> = { mw: "MW", mvar: "Mvar", kw: "kW", pct: "%", kv: "kV", a: "A", mwh: "MWh", kwh: "kWh" };

/** `restored_mw: 0.12` as `restored: 0.12 MW`. */
export function named(name: string, value: number): string {
  const parts = name.split("_");
  const last = parts.at(-1) ?? "";
  const unit = UNITS.has(last) ? (SHOWN[last] ?? last) : "";
  const words = (unit ? parts.slice(0, -1) : parts).map((word) => WORDS[word] ?? word).join(" ");
  return `${words}: ${figure(value)}${unit ? ` ${unit}` : ""}`;
}
