/** The answers of the JSON API that the app uses. */
import type { LiveState } from "@/client/live-events";

/** `GET /api/v1/status`. */
export interface Status extends LiveState {
  uptime_s?: number;
  problems?: string[];
}

export type RehearsalSpeed = 1 | 10 | "max";

/** `/api/v1/rehearsals`: a recorded stream that is played through the whole pipeline. */
export interface Rehearsal {
  id: string;
  state: "running" | "finished" | "stopped" | "failed";
  played: number;
  total: number;
  channel: string;
  error?: string;
}

/** One key of `GET /api/v1/overlay-keys`; the secret itself is shown only when it is made. */
export interface OverlayKey {
  id: string;
  overlay: string;
  label: string;
  /** When it was revoked, in ms; null while it is good. */
  revoked?: number | null;
}

/** The answer to `POST /api/v1/overlay-keys`. */
export interface NewOverlayKey {
  id: string;
  key: string;
}

/** `GET /api/v1/approvals`: a call of a tool that waits for a moderator; times in ms. */
export interface Approval {
  id: string;
  tool: string;
  description: string;
  /** JSON text: the tool gets exactly this. */
  arguments: string;
  user: string;
  role: string;
  channel: string;
  text: string;
  why: string;
  asked_at: number;
  expires_at: number;
}

/** One judgement of a reply that counts; `text` is a list for a ranking. */
export interface Feedback {
  id: string;
  kind: "thumb" | "edit" | "rank" | "note" | "safety" | "reward";
  value: number;
  text: string | string[];
  note: string;
  by: string;
  source: "" | "streamer" | "moderator" | "viewer" | "system";
  weight: number;
  ts: number;
}

/** `GET /api/v1/feedback`: what is made of a reply, and what it adds up to. */
export interface FeedbackSummary {
  feedback: Feedback[];
  rating: number;
  blocked: boolean;
}
