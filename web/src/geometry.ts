// From columns and rows to pixels, and which element lies next in a direction.

import type { Link, Picture, Point } from "./types";

export const COLUMN = 74;
export const ROW = 68;
export const MARGIN = 44;

export const px = (x: number): number => MARGIN + x * COLUMN;
export const py = (y: number): number => MARGIN + y * ROW;

export function path(points: readonly Point[]): string {
  return points.map(([x, y], at) => `${at ? "L" : "M"}${px(x)} ${py(y)}`).join("");
}

/** The point `distance` pixels along a link from one end, so that a switch stands next to its station. */
export function along(link: Link, end: 0 | 1, distance: number): Point {
  const points = (end === 0 ? link.points : link.points.toReversed()).map(([x, y]): Point => [px(x), py(y)]);
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
export function middle(link: Link): Point {
  let best: Point = [0, 0];
  let longest = -1;
  for (let at = 1; at < link.points.length; at++) {
    const [x0, y0] = [px(link.points[at - 1]![0]), py(link.points[at - 1]![1])];
    const [x1, y1] = [px(link.points[at]![0]), py(link.points[at]![1])];
    const length = Math.hypot(x1 - x0, y1 - y0);
    if (length > longest) {
      longest = length;
      best = [(x0 + x1) / 2, (y0 + y1) / 2];
    }
  }
  return best;
}

export interface Spot {
  kind: string;
  id: string;
  at: Point;
}

/** Everything that can be selected, with its place. */
export function spots(picture: Picture): Spot[] {
  const stations = picture.stations.map((station): Spot => ({ kind: "bus", id: station.id, at: [px(station.x), py(station.y)] }));
  const links = picture.links.map((link): Spot => ({ kind: link.kind, id: link.id, at: middle(link) }));
  return [...stations, ...links];
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
