// The records that the control room's interface sends; the Python side is control_room/view.py and schematic.py.
// Times are nanoseconds since 1970 UTC; as doubles they are good to a microsecond.

export type Point = [number, number];

export interface Station {
  id: string;
  label: string;
  kind: "source" | "substation" | "station" | "node";
  vn_kv: number;
  x: number;
  y: number;
  y_end: number;
  buses: number[];
  v_min_pu: number;
  v_max_pu: number;
  is_spare: boolean;
  area: number;
}

export interface LinkSwitch {
  id: string;
  row: number;
  end: 0 | 1;
  is_closed: boolean;
  is_remote: boolean;
  is_breaker: boolean;
}

export interface Link {
  id: string;
  kind: "line" | "transformer" | "transformer3w" | "branch" | "switch";
  row: number;
  stations: [number, number];
  points: Point[];
  is_tie: boolean;
  switches: LinkSwitch[];
}

export interface Area {
  id: string;
  station: number;
  transformers: number[];
  buses: Point[];
  branches: Point[];
  v_min_pu: number;
  v_max_pu: number;
}

export interface Picture {
  grid: string;
  title: string;
  n_bus: number;
  n_branch: number;
  n_switch: number;
  width: number;
  height: number;
  stations: Station[];
  links: Link[];
  areas: Area[];
}

export type Autonomy = "observe" | "advise" | "act";

export interface Status {
  grid: string;
  now_ns: number;
  clock: "real" | "stepped" | "accelerated";
  speed: number;
  autonomy: Autonomy;
  estimate_ns: number;
  estimates_per_s: number;
  readings_per_s: number;
  field_connected: boolean;
  journal_ok: boolean;
  customers_out: number;
  note: string;
}

export type Priority = 1 | 2 | 3 | 4;

export interface Alarm {
  id: string;
  priority: Priority;
  element_kind: string;
  element: string;
  text: string;
  since_ns: number;
  is_active: boolean;
  value: number | null;
  limit: number | null;
  unit: string;
}

export interface AlarmGroup {
  priority: Priority;
  element_kind: string;
  text: string;
  is_active: boolean;
  total: number | null;
  count: number;
  since_ns: number;
  alarms: Alarm[];
}

export interface AlarmBoard {
  active: [number, number, number, number];
  groups: AlarmGroup[];
}

export interface Action {
  kind: string;
  target: string;
  value: number;
  unit: string;
  step: number;
}

export interface Check {
  name: string;
  passed: boolean;
  worst: number;
  limit: number;
  unit: string;
  where: string;
  note: string;
}

export interface CommandTrace {
  action: Action;
  sent_ns: number;
  outcome: string;
  answered_ns: number;
  note: string;
}

export type PlanState = "prepared" | "held" | "refused" | "acting" | "done" | "failed" | "expired";

export interface Plan {
  id: string;
  agent: string;
  rank: string;
  cell: string;
  state: PlanState;
  reason: string;
  trigger: string;
  made_ns: number;
  expires_ns: number;
  actions: Action[];
  undo: Action[];
  expectation: Record<string, number>;
  alternatives: string[];
  checks: Check[];
  verdict: string;
  autonomy: Autonomy;
  commands: CommandTrace[];
  outcome: string;
}

export interface Milestone {
  name: string;
  text: string;
  at_ns: number;
  took_ms: number | null;
}

export interface FaultStory {
  id: string;
  line: string;
  is_over: boolean;
  customers_interrupted: number;
  customers_restored: number;
  milestones: Milestone[];
  plan_id: string;
}

export interface Lock {
  switch: string;
  owner: string;
  reason: string;
  since_ns: number;
}

export interface AutonomyLevel {
  agent: string;
  cell: string;
  level: Autonomy;
}

export interface Reading {
  kind: string;
  id: string;
  row: number;
  time_ns: number;
  is_live: boolean;
  v_pu: number | null;
  v_kv: number | null;
  v_sigma_pu: number | null;
  v_min_pu: number | null;
  v_max_pu: number | null;
  loading_pct: number | null;
  p_mw: number | null;
  position: string;
  facts: { name: string; text: string }[];
}

export type Message =
  | { topic: "status"; body: Status }
  | { topic: "alarms"; body: AlarmBoard }
  | { topic: "plans"; body: Plan[] }
  | { topic: "faults"; body: FaultStory[] }
  | { topic: "locks"; body: Lock[] }
  | { topic: "autonomy"; body: AutonomyLevel[] };
