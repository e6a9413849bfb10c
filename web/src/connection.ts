// The live connection: comes back by itself, waits longer each time, and says since when the data are stale.

import { FeedDecoder, type Frame } from "./decoder";
import type { Message } from "./types";

export const SILENT_AFTER_MS = 5000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

export type Link = { state: "connecting" | "live" | "lost"; sinceMs: number; retryAtMs: number };

export interface Receiver {
  onFrame(frame: Frame): void;
  onMessage(message: Message): void;
  onLink(link: Link): void;
}

/** The wait before attempt `attempt` [ms], with a share of chance so that browsers do not come back in one crowd. */
export function backoffMs(attempt: number, chance: number): number {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt, 10)) * (0.75 + 0.5 * chance);
}

export class Connection {
  private socket: WebSocket | undefined;
  private attempt = 0;
  private lastHeardMs = Date.now();
  private retry: ReturnType<typeof setTimeout> | undefined;
  private readonly watchdog: ReturnType<typeof setInterval>;

  constructor(private readonly url: string, private readonly receiver: Receiver) {
    this.watchdog = setInterval(() => this.checkSilence(), 1000);
    this.open();
  }

  close(): void {
    clearInterval(this.watchdog);
    clearTimeout(this.retry);
    this.drop();
  }

  private open(): void {
    const decoder = new FeedDecoder();
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    // Inflating is asynchronous, so frames wait for the ones before them.
    let queue = Promise.resolve();
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      this.lastHeardMs = Date.now();
      if (typeof event.data === "string") {
        this.receiver.onMessage(JSON.parse(event.data) as Message);
        return;
      }
      const data = event.data;
      queue = queue
        .then(async () => {
          const frame = await decoder.push(data);
          if (this.socket === socket) this.receiver.onFrame(frame);
        })
        .catch(() => this.lose(socket));
    };
    socket.onopen = () => {
      this.attempt = 0;
      this.lastHeardMs = Date.now();
      this.receiver.onLink({ state: "live", sinceMs: this.lastHeardMs, retryAtMs: 0 });
    };
    socket.onclose = () => this.lose(socket);
  }

  private checkSilence(): void {
    const silent = Date.now() - this.lastHeardMs > SILENT_AFTER_MS;
    if (silent && this.socket?.readyState === WebSocket.OPEN) this.lose(this.socket);
  }

  private lose(socket: WebSocket): void {
    if (socket !== this.socket) return;
    this.drop();
    const wait = backoffMs(this.attempt++, Math.random());
    this.receiver.onLink({ state: "lost", sinceMs: this.lastHeardMs, retryAtMs: Date.now() + wait });
    this.retry = setTimeout(() => this.open(), wait);
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = undefined;
    if (socket) {
      socket.onmessage = socket.onclose = socket.onopen = null;
      socket.close();
    }
  }
}
