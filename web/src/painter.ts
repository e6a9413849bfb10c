// Puts a frame's values on the schematic: one pass over its elements, touching only what changed.

import {
  loadingBand,
  loadingOf,
  rowsOf,
  voltageBand,
  voltageOf,
  worstLoading,
  worstVoltage,
  type Band,
} from "./bands";
import type { Frame } from "./decoder";
import type { Geometry } from "./geometry";
import type { Link, Picture, Point, Station } from "./types";

/** A value that needs attention, written next to its element. */
export interface Callout {
  key: string;
  text: string;
  at: Point;
  /** How far outside its limit, as a share of it. */
  excess: number;
}

/** More would hide the picture; the others still carry their colour and shape. */
const MOST_CALLOUTS = 12;
const GLYPH_HEIGHT = 14;

/** Next to a line, so that its alarm's mark and its switches stay in sight. */
const below = ([x, y]: Point): Point => [x, y + 16];

export class Painter {
  private readonly shown = new Map<Element, string>();

  constructor(
    private readonly picture: Picture,
    private readonly geometry: Geometry,
    private readonly stations: readonly (SVGElement | undefined)[],
    private readonly links: readonly (SVGElement | undefined)[],
  ) {}

  /** Paint one frame; returns what is out of its limits. */
  paint(frame: Frame): Callout[] {
    const callouts: Callout[] = [];
    this.picture.links.forEach((link, at) => {
      const element = this.links[at];
      if (element) this.paintLink(link, element, frame, callouts);
    });
    this.picture.stations.forEach((station, at) => {
      const element = this.stations[at];
      if (element) this.paintStation(station, element, frame, callouts);
    });
    return callouts.sort((a, b) => b.excess - a.excess).slice(0, MOST_CALLOUTS);
  }

  private paintLink(link: Link, element: SVGElement, frame: Frame, callouts: Callout[]): void {
    const positions = link.switches.map((each) => frame.switches[each.row] ?? 2);
    const isOpen = link.switches.length ? positions.some((position) => position === 0) : link.is_tie;
    const code = link.row < 0 ? 0 : (frame.loading[link.row] ?? 254);
    let band: Band = link.row < 0 ? "normal" : loadingBand(code);
    if (band === "dead" && this.isSpare(link)) band = "normal";
    const state = `${band} ${isOpen ? "open" : "closed"} ${positions.join("")} ${code >> 3}`;
    if (this.shown.get(element) !== state) {
      this.shown.set(element, state);
      element.setAttribute("data-band", band);
      element.setAttribute("data-open", String(isOpen));
      element.style.setProperty("--width", link.row < 0 || code > 250 ? "2" : (1.6 + Math.min(code, 150) / 50).toFixed(1));
      link.switches.forEach((each, at) => {
        const mark = element.querySelector(`[data-switch="${each.row}"]`);
        mark?.setAttribute("data-position", ["open", "closed", "moving"][positions[at] ?? 2] ?? "moving");
        mark?.setAttribute("data-normal", String((positions[at] === 1) === each.is_closed));
      });
    }
    if (band === "bad") callouts.push({ key: `l${link.id}`, text: `${loadingOf(code)} %`, at: below(this.geometry.middle(link)), excess: code / 100 - 1 });
  }

  private isSpare(link: Link): boolean {
    return link.is_tie || link.stations.every((at) => this.picture.stations[at]?.is_spare);
  }

  private paintStation(station: Station, element: SVGElement, frame: Frame, callouts: Callout[]): void {
    const own = Math.max(...station.buses.map((bus) => frame.voltage[bus] ?? 255));
    const area = this.picture.areas[station.area];
    const low = area ? worstVoltage(frame.voltage, area.buses) : own;
    const loading = area ? worstLoading(frame.loading, [...area.transformers, ...rowsOf(area.branches)]) : 0;
    const state = `${own} ${low} ${loading}`;
    if (this.shown.get(element) === state) return this.call(station, element, own, low, callouts);
    this.shown.set(element, state);
    const ownBand = voltageBand(own, station.v_min_pu, station.v_max_pu);
    element.setAttribute("data-band", ownBand === "dead" && station.is_spare ? "normal" : ownBand);
    const limits = area ?? station;
    element.setAttribute("data-voltage", voltageBand(low, limits.v_min_pu, limits.v_max_pu));
    element.setAttribute("data-loading", area ? loadingBand(loading) : "normal");
    this.glyph(element, low, loading, limits);
    this.call(station, element, own, low, callouts);
  }

  private call(station: Station, element: SVGElement, own: number, low: number, callouts: Callout[]): void {
    const isOwn = element.getAttribute("data-band") === "bad";
    if (!isOwn && element.getAttribute("data-voltage") !== "bad") return;
    const value = voltageOf(isOwn ? own : low);
    if (value === null) return;
    const limits = isOwn ? station : (this.picture.areas[station.area] ?? station);
    const excess = Math.max(limits.v_min_pu - value, value - limits.v_max_pu);
    const at: Point = [this.geometry.x(station.x), this.geometry.y(station.y) + 19];
    callouts.push({ key: `s${station.id}`, text: `${value.toFixed(3)} pu`, at, excess });
  }

  private glyph(element: SVGElement, voltage: number, loading: number, limits: { v_min_pu: number; v_max_pu: number }): void {
    const fill = element.querySelector(".fill");
    const height = (GLYPH_HEIGHT * Math.min(100, loadingOf(loading) ?? 0)) / 100;
    fill?.setAttribute("height", height.toFixed(1));
    fill?.setAttribute("y", (GLYPH_HEIGHT - height).toFixed(1));
    const value = voltageOf(voltage);
    const share = value === null ? 0 : (value - limits.v_min_pu) / (limits.v_max_pu - limits.v_min_pu);
    const tick = element.querySelector(".tick");
    tick?.setAttribute("visibility", value === null ? "hidden" : "visible");
    tick?.setAttribute("y", (GLYPH_HEIGHT * (1 - Math.min(1, Math.max(0, share))) - 1.25).toFixed(1));
  }
}
