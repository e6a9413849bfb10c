// Requests to the control room. Every refusal comes back as words that a person can read.

import type { Autonomy, Picture, Reading } from "./types";

async function answer<T>(response: Response): Promise<T> {
  const body: unknown = await response.json().catch(() => ({ message: `no answer (${response.status})` }));
  if (!response.ok) throw new Error((body as { message?: string }).message ?? `refused (${response.status})`);
  return body as T;
}

async function read<T>(path: string): Promise<T> {
  return answer<T>(await fetch(path));
}

async function wish(path: string, body: object): Promise<string> {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return (await answer<{ message: string }>(response)).message;
}

export const api = {
  district: () => read<Picture>("/api/schematic"),
  area: (transformer: string) => read<Picture>(`/api/area?transformer=${encodeURIComponent(transformer)}`),
  reading: (kind: string, id: string) => read<Reading>(`/api/elements/${kind}?id=${encodeURIComponent(id)}`),
  breakCable: (line: string) => wish("/api/faults", { line }),
  repair: (line: string) => wish("/api/faults/repair", { line }),
  lock: (name: string, locked: boolean, reason: string) => wish("/api/locks", { switch: name, locked, reason }),
  autonomy: (agent: string, cell: string, level: Autonomy) => wish("/api/autonomy", { agent, cell, level }),
  decide: (plan: string, approve: boolean) => wish(`/api/plans/${encodeURIComponent(plan)}/decision`, { approve }),
};
