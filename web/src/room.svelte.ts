// Everything the page knows: one object, filled by the connection and read by the components.

import { api } from "./api";
import { Connection, type Link as WireLink } from "./connection";
import type { Frame } from "./decoder";
import type { AlarmBoard, AutonomyLevel, FaultStory, Lock, Message, Picture, Plan, Status } from "./types";

const HISTORY_FRAMES = 600;
const HISTORY_BYTES = 16_000_000;
const LATE_ESTIMATE_S = 6;

export interface Selection {
  kind: string;
  id: string;
}

export class Room {
  district = $state.raw<Picture>();
  area = $state.raw<Picture>();
  frame = $state.raw<Frame>();
  status = $state.raw<Status>();
  alarms = $state.raw<AlarmBoard>({ active: [0, 0, 0, 0], groups: [] });
  plans = $state.raw<Plan[]>([]);
  faults = $state.raw<FaultStory[]>([]);
  locks = $state.raw<Lock[]>([]);
  autonomy = $state.raw<AutonomyLevel[]>([]);
  link = $state.raw<WireLink>({ state: "connecting", sinceMs: Date.now(), retryAtMs: 0 });
  selection = $state.raw<Selection>();
  /** Answer to the last wish, in words. */
  answer = $state("");
  answerFailed = $state(false);
  nowMs = $state(Date.now());
  history: Frame[] = [];

  readonly picture = $derived(this.area ?? this.district);

  /** Ids of the lines with a fault that was located and not repaired yet. */
  readonly broken = $derived.by(() => {
    const found = new Set<string>();
    // Oldest first, so that the newest story about a line decides.
    for (const story of this.faults.toReversed()) {
      if (!story.line) continue;
      if (story.milestones.some((step) => step.name === "repaired")) found.delete(story.line);
      else found.add(story.line);
    }
    return found;
  });

  /** Why the data on the page cannot be trusted at the moment; empty when they can. */
  readonly stale = $derived.by(() => {
    if (this.link.state === "lost") {
      const wait = Math.max(0, Math.ceil((this.link.retryAtMs - this.nowMs) / 1000));
      return { sinceMs: this.link.sinceMs, why: `connection lost, next try in ${wait} s` };
    }
    const status = this.status;
    if (!status) return undefined;
    const lateS = (status.now_ns - status.estimate_ns) / 1e9;
    const allowedS = LATE_ESTIMATE_S * Math.max(1, status.speed);
    if (status.estimate_ns > 0 && lateS > allowedS) {
      const sinceMs = this.nowMs - (lateS / Math.max(1, status.speed)) * 1000;
      return { sinceMs, why: "no new estimate" };
    }
    if (!status.field_connected) return { sinceMs: this.nowMs, why: "the field sends no readings" };
    return undefined;
  });

  private connection: Connection | undefined;
  private fading: ReturnType<typeof setTimeout> | undefined;

  async start(): Promise<void> {
    setInterval(() => (this.nowMs = Date.now()), 1000);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.connection = new Connection(`${scheme}://${location.host}/ws`, {
      onFrame: (frame) => this.take(frame),
      onMessage: (message) => this.hear(message),
      onLink: (link) => this.relink(link),
    });
    await this.load();
    this.follow(location.hash);
    addEventListener("hashchange", () => this.follow(location.hash));
  }

  stop(): void {
    this.connection?.close();
  }

  select(kind: string, id: string): void {
    this.selection = { kind, id };
    history.replaceState(null, "", `#${kind}/${encodeURIComponent(id)}`);
  }

  async openArea(transformer: string): Promise<void> {
    await this.tell(async () => {
      this.area = await api.area(transformer);
      history.replaceState(null, "", `#area/${encodeURIComponent(transformer)}`);
      return "";
    });
  }

  closeArea(): void {
    this.area = undefined;
    history.replaceState(null, "", "#");
  }

  /** Carry out a wish and keep its answer for the page. */
  async tell(wish: () => Promise<string>): Promise<boolean> {
    try {
      this.answer = await wish();
      this.answerFailed = false;
      return true;
    } catch (error) {
      this.answer = error instanceof Error ? error.message : String(error);
      this.answerFailed = true;
      return false;
    } finally {
      clearTimeout(this.fading);
      this.fading = setTimeout(() => (this.answer = ""), this.answerFailed ? 15_000 : 6000);
    }
  }

  private async load(): Promise<void> {
    while (!this.district) {
      try {
        this.district = await api.district();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 2000));
      }
    }
  }

  private follow(hash: string): void {
    const [kind, id] = hash.slice(1).split("/", 2);
    if (!kind || !id) return;
    const name = decodeURIComponent(id);
    if (kind === "area") void this.openArea(name);
    else this.selection = { kind, id: name };
  }

  private relink(link: WireLink): void {
    const wasLost = this.link.state === "lost";
    this.link = link;
    // The platform may have been started anew on another grid.
    if (wasLost && link.state === "live") void api.district().then((picture) => (this.district = picture), () => undefined);
  }

  private take(frame: Frame): void {
    this.frame = frame;
    const bytes = frame.voltage.length + frame.loading.length + frame.switches.length;
    const keep = Math.max(2, Math.min(HISTORY_FRAMES, Math.floor(HISTORY_BYTES / Math.max(1, bytes))));
    if (this.history.length && this.history[0]?.voltage.length !== frame.voltage.length) this.history = [];
    this.history.push(frame);
    if (this.history.length > keep) this.history.splice(0, this.history.length - keep);
  }

  private hear(message: Message): void {
    switch (message.topic) {
      case "status":
        this.status = message.body;
        break;
      case "alarms":
        this.alarms = message.body;
        break;
      case "plans":
        this.plans = message.body;
        break;
      case "faults":
        this.faults = message.body;
        break;
      case "locks":
        this.locks = message.body;
        break;
      case "autonomy":
        this.autonomy = message.body;
    }
  }
}

export const room = new Room();
