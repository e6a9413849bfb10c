// From columns and rows to pixels, and which element lies next in a direction.

import type { Link, Picture, Point } from "./types";

export const ROW = 56;
export const MARGIN = 42;
const NARROWEST = 56;
const WIDEST = 150;

/** Turns columns and rows into pixels; columns are as wide as the panel's shape allows. */
export class Geometry {
  readonly column: number;
  readonly width: number;
  readonly height: number;

  constructor(picture: Picture, aspect: number, shortest = 0) {
    this.height = 2 * MARGIN + (picture.height - 1) * ROW;
    const wanted = (Math.max(this.height, shortest) * aspect - 2 * MARGIN) / Math.max(1, picture.width - 1);
    this.column = Math.round(Math.min(WIDEST, Math.max(NARROWEST, wanted)));
    this.width = 2 * MARGIN + (picture.width - 1) * this.column;
  }

  x(column: number): number {
    return MARGIN + column * this.column;
  }

  y(row: number): number {
    return MARGIN + row * ROW;
  }

  at([column, row]: Point): Point {
    return [this.x(column), this.y(row)];
  }

  path(points: readonly Point[]): string {
    return points.map((point, at) => `${at ? "L" : "M"}${this.at(point).join(" ")}`).join("");
  }

  /** The point `distance` pixels along a link from one end, so that a switch stands next to its station. */
  along(link: Link, end: 0 | 1, distance: number): Point {
    const points = (end === 0 ? link.points : link.points.toReversed()).map((point) => this.at(point));
    let left = distance;
    for (let at = 1; at < points.length; at++) {
      const [x0, y0] = points[at - 1]!;
      const [x1, y1] = points[at]!;
      const length = Math.hypot(x1 - x0, y1 - y0);
      if (length >= left && length > 0) return [x0 + ((x1 - x0) * left) / length, y0 + ((y1 - y0) * left) / length];
      left -= length;
    }
    return points.at(-1) ?? [0, 0];
  }

  /** The middle of a link's longest straight part. */
  middle(link: Link): Point {
    let best: Point = [0, 0];
    let longest = -1;
    for (let at = 1; at < link.points.length; at++) {
      const [x0, y0] = this.at(link.points[at - 1]!);
      const [x1, y1] = this.at(link.points[at]!);
      const length = Math.hypot(x1 - x0, y1 - y0);
      if (length > longest) {
        longest = length;
        best = [(x0 + x1) / 2, (y0 + y1) / 2];
      }
    }
    return best;
  }

  /** Everything that can be selected, with its place: stations first, then links. */
  spots(picture: Picture): Spot[] {
    const stations = picture.stations.map((each): Spot => ({ kind: "bus", id: each.id, at: this.at([each.x, each.y]) }));
    const links = picture.links.map((each): Spot => ({ kind: each.kind, id: each.id, at: this.middle(each) }));
    return [...stations, ...links];
  }
}

export interface Spot {
  kind: string;
  id: string;
  at: Point;
}

export type Direction = "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown";

/** The nearest spot in a direction; going sideways costs twice. */
export function next(all: readonly Spot[], from: Spot, direction: Direction): Spot {
  const along = direction === "ArrowLeft" || direction === "ArrowRight" ? 0 : 1;
  const sign = direction === "ArrowLeft" || direction === "ArrowUp" ? -1 : 1;
  let best = from;
  let least = Infinity;
  for (const spot of all) {
    const ahead = sign * (spot.at[along]! - from.at[along]!);
    const aside = Math.abs(spot.at[1 - along]! - from.at[1 - along]!);
    if (ahead < 1 || aside > 2 * ahead) continue;
    if (ahead + 2 * aside < least) {
      least = ahead + 2 * aside;
      best = spot;
    }
  }
  return best;
}
