import { describe, expect, it } from "vitest";
import { backoffMs } from "../src/connection";
import { figure, milliseconds, named, plural } from "../src/format";
import { Geometry, next, type Spot } from "../src/geometry";
import type { Link, Picture } from "../src/types";

const picture: Picture = {
  grid: "", title: "", n_bus: 0, n_branch: 0, n_switch: 0, width: 11, height: 5, stations: [], links: [], areas: [],
};
const link: Link = {
  id: "l", kind: "line", row: 0, stations: [0, 1], is_tie: false, switches: [], points: [[0, 0], [0, 1], [3, 1]],
};

describe("the geometry", () => {
  it("makes columns as wide as the panel allows, within limits", () => {
    expect(new Geometry(picture, 2).column).toBeLessThan(new Geometry(picture, 3).column);
    expect(new Geometry(picture, 0.1).column).toBe(56);
    expect(new Geometry(picture, 100).column).toBe(150);
  });

  it("walks along a link from either end and around corners", () => {
    const geometry = new Geometry(picture, 2);
    expect(geometry.along(link, 0, 10)).toEqual([geometry.x(0), geometry.y(0) + 10]);
    expect(geometry.along(link, 1, 10)).toEqual([geometry.x(3) - 10, geometry.y(1)]);
    expect(geometry.along(link, 0, geometry.y(1) - geometry.y(0) + 5)).toEqual([geometry.x(0) + 5, geometry.y(1)]);
  });

  it("moves to the nearest spot in a direction and stays at the edge", () => {
    const spot = (id: string, x: number, y: number): Spot => ({ kind: "bus", id, at: [x, y] });
    const all = [spot("a", 0, 0), spot("b", 50, 0), spot("c", 100, 0), spot("d", 0, 60), spot("e", 40, 300)];
    expect(next(all, all[0]!, "ArrowRight").id).toBe("b");
    expect(next(all, all[0]!, "ArrowDown").id).toBe("d");
    expect(next(all, all[2]!, "ArrowRight").id).toBe("c");
    expect(next(all, all[2]!, "ArrowLeft").id).toBe("b");
  });
});

describe("words", () => {
  it("carry units and no needless digits", () => {
    expect(named("restored_mw", 0.12)).toBe("restored: 0.12 MW");
    expect(named("v_min_pu", 0.97123)).toBe("voltage lowest: 0.971 pu");
    expect(figure(112.4)).toBe("112");
    expect(milliseconds(1490)).toBe("1490 ms");
    expect(milliseconds(62_400)).toBe("62.4 s");
  });

  it("know the plural of buses and switches", () => {
    expect(plural(1, "bus")).toBe("1 bus");
    expect(plural(1000, "bus")).toBe("1,000 buses");
    expect(plural(2, "switch")).toBe("2 switches");
    expect(plural(0, "line")).toBe("0 lines");
  });
});

describe("the way back to a lost platform", () => {
  it("waits longer each time, up to a quarter of a minute", () => {
    const waits = [0, 1, 2, 3, 4, 5, 6, 20].map((attempt) => backoffMs(attempt, 0.5));
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
    expect(backoffMs(3, 0)).toBeLessThan(backoffMs(3, 1));
  });
});
