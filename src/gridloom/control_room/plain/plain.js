// The control room without a build: the same essentials as text, asked for once a second.
// Every word from the platform goes through textContent, so that no id can become markup.
"use strict";

const byId = (id) => document.getElementById(id);
let lastGood = null;
let lines = false;

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

const clock = (ns) => new Date(ns / 1e6).toISOString().slice(11, 19);
const number = (value, digits, unit) => (value === null ? "not known" : `${value.toFixed(digits)} ${unit}`);

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.json()).message);
  return answer.json();
}

async function wish(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  byId("answer").textContent = (await answer.json()).message;
}

function showState(snapshot) {
  const { status } = snapshot;
  byId("grid").textContent = status.grid;
  byId("status").textContent =
    `${new Date(status.now_ns / 1e6).toISOString().slice(0, 19).replace("T", " ")} UTC, ` +
    `${status.clock} clock, autonomy: ${status.autonomy}`;
  const rows = [
    ["Customers without supply", String(status.customers_out)],
    ["Buses energised", `${snapshot.energised_buses} of ${snapshot.buses}`],
    ["Lowest voltage", number(snapshot.v_min_pu, 3, "pu")],
    ["Highest voltage", number(snapshot.v_max_pu, 3, "pu")],
    ["Highest loading", number(snapshot.max_loading_pct, 0, "%")],
    ["Estimates", `${status.estimates_per_s.toFixed(1)} a second`],
    ["Readings", `${status.readings_per_s.toFixed(0)} a second`],
    ["Field", status.field_connected ? "connected" : "NOT CONNECTED"],
    ["Journal", status.journal_ok ? "in order" : "NOT IN ORDER"],
  ];
  byId("state").replaceChildren(...rows.map(([name, text]) => {
    const row = make("tr");
    row.append(make("td", name), make("td", text));
    return row;
  }));
}

function showAlarms(board) {
  const items = board.groups.map((group) => {
    const what = group.count > 1 ? `${group.count} ${group.element_kind}s` : group.alarms[0].element;
    const state = group.is_active ? "" : " (gone)";
    const text = `Priority ${group.priority}: ${group.text}, ${what}, since ${clock(group.since_ns)}${state}`;
    return make("li", text, group.is_active ? "active" : "");
  });
  byId("alarms").replaceChildren(...(items.length ? items : [make("li", "none")]));
}

function showFaults(faults) {
  byId("faults").replaceChildren(...faults.slice(0, 3).map((fault) => {
    const box = make("details");
    box.open = true;
    box.append(make("summary", `${fault.line || "not located yet"}: ${fault.customers_restored} of ` +
      `${fault.customers_interrupted} customers restored${fault.is_over ? ", over" : ""}`));
    const list = make("ul");
    for (const step of fault.milestones) {
      const took = step.took_ms === null ? clock(step.at_ns) : `${step.took_ms.toFixed(0)} ms`;
      list.append(make("li", `${took}: ${step.text}`));
    }
    box.append(list);
    return box;
  }));
}

function showPlans(plans) {
  const open = new Set([...document.querySelectorAll("#plans details[open]")].map((box) => box.dataset.plan));
  byId("plans").replaceChildren(...plans.slice(0, 20).map((plan) => {
    const box = make("details");
    box.dataset.plan = plan.id;
    box.open = open.has(plan.id);
    box.append(make("summary", `${clock(plan.made_ns)} ${plan.state}: ${plan.reason}`));
    const list = make("ul");
    for (const check of plan.checks) {
      list.append(make("li", `${check.passed ? "passed" : "FAILED"}: ${check.name}, worst ${check.worst} ` +
        `${check.unit}, limit ${check.limit} ${check.unit} ${check.where}`));
    }
    for (const action of plan.actions) list.append(make("li", `step ${action.step}: ${action.kind} ${action.target}`));
    if (plan.outcome) list.append(make("li", `outcome: ${plan.outcome}`));
    box.append(list);
    return box;
  }));
}

async function showLines() {
  const picture = await ask("/api/schematic");
  const cables = picture.links.filter((link) => link.kind === "line");
  byId("line").replaceChildren(...cables.map((link) => make("option", link.id)));
  lines = true;
}

async function refresh() {
  try {
    if (!lines) await showLines();
    const [state, alarms, plans, faults] = await Promise.all(
      ["/api/state", "/api/alarms", "/api/plans?limit=20", "/api/faults"].map(ask));
    showState(state);
    showAlarms(alarms);
    showPlans(plans);
    showFaults(faults);
    lastGood = new Date();
    byId("stale").hidden = true;
  } catch (error) {
    byId("stale").hidden = false;
    byId("stale").textContent = lastGood
      ? `Data are stale since ${lastGood.toLocaleTimeString()}: ${error.message}`
      : `No data yet: ${error.message}`;
  }
  setTimeout(refresh, 1000);
}

byId("break").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("sure").checked = false;
  wish("/api/faults", { line: byId("line").value });
});
byId("repair").addEventListener("click", () => wish("/api/faults/repair", { line: byId("line").value }));
refresh();
