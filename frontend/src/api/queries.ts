/** What the app reads from and does to the server, as TanStack queries and mutations. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ApiError, call } from "@/api/client";
import type {
  Approval,
  FeedbackSummary,
  NewOverlayKey,
  OverlayKey,
  Rehearsal,
  RehearsalSpeed,
  Status,
} from "@/api/types";
import { useLiveStore } from "@/live/context";
import type { Judgement } from "@/live/rows";
import { useShowNotice } from "@/ui/notices";

export const STATUS_KEY = ["status"] as const;
const REHEARSAL_KEY = ["rehearsal"] as const;
const OVERLAY_KEYS_KEY = ["overlay-keys"] as const;
const STATUS_EVERY_MS = 10_000;
const REHEARSAL_EVERY_MS = 500;
const APPROVALS_KEY = ["approvals"] as const;
/** A call waits for seconds, not for minutes. */
const APPROVALS_EVERY_MS = 1_500;

/** Who is on stage and how; renewed by every snapshot of the live feed too. */
export function useStatus() {
  return useQuery({
    queryKey: STATUS_KEY,
    queryFn: () => call<Status>("GET", "api/v1/status"),
    refetchInterval: STATUS_EVERY_MS,
  });
}

/** Mutes or unmutes the co-host. */
export function useMute() {
  const show = useShowNotice();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (muted: boolean) =>
      call<{ muted: boolean }>("POST", `api/v1/actions/${muted ? "mute" : "unmute"}`),
    onSuccess: ({ muted }) =>
      client.setQueryData<Status>(STATUS_KEY, (status) => status && { ...status, muted }),
    onError: (error) => show(error.message),
  });
}

/** Breaks off the reply under way. */
export function useSkip() {
  const show = useShowNotice();
  return useMutation({
    mutationFn: () => call<{ muted: boolean }>("POST", "api/v1/actions/skip"),
    onError: (error) => show(error.message),
  });
}

/**
 * The rehearsal that was started here, else one that runs; null when there is none. Renewed while
 * it runs.
 *
 * A reload, a second tab or another moderator finds a running one, so that it can be stopped.
 */
export function useRehearsal() {
  const client = useQueryClient();
  return useQuery<Rehearsal | null>({
    queryKey: REHEARSAL_KEY,
    queryFn: async () => {
      const known = client.getQueryData<Rehearsal | null>(REHEARSAL_KEY);
      if (known) return findRehearsal(known.id);
      const { rehearsals } = await call<{ rehearsals: Rehearsal[] }>("GET", "api/v1/rehearsals");
      return rehearsals.find(({ state }) => state === "running") ?? null;
    },
    staleTime: Infinity,
    gcTime: Infinity,
    refetchInterval: (query) =>
      query.state.data?.state === "running" ? REHEARSAL_EVERY_MS : false,
  });
}

/** Null when the server no longer knows it, as after a restart. */
async function findRehearsal(id: string): Promise<Rehearsal | null> {
  try {
    return await call<Rehearsal>("GET", `api/v1/rehearsals/${id}`);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** Starts the bundled sample stream. */
export function useStartRehearsal() {
  const show = useShowNotice();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (speed: RehearsalSpeed) =>
      call<Rehearsal>("POST", "api/v1/rehearsals", { sample: true, speed, seed: 1 }),
    onSuccess: (rehearsal) => {
      client.setQueryData(REHEARSAL_KEY, rehearsal);
      show("");
    },
    onError: (error) => show(error.message),
  });
}

/** Stops a rehearsal. */
export function useStopRehearsal() {
  const show = useShowNotice();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => call("DELETE", `api/v1/rehearsals/${id}`),
    onSettled: () => client.invalidateQueries({ queryKey: REHEARSAL_KEY }),
    onError: (error) => show(error.message),
  });
}

/** The calls of tools that wait for a moderator, oldest first. */
export function useApprovals() {
  return useQuery({
    queryKey: APPROVALS_KEY,
    queryFn: async () => {
      const { approvals } = await call<{ approvals: Approval[] }>("GET", "api/v1/approvals");
      return approvals;
    },
    refetchInterval: APPROVALS_EVERY_MS,
  });
}

/** Lets a waiting call be made, or declines it. */
export function useDecide() {
  const show = useShowNotice();
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, approve }: { id: string; approve: boolean }) =>
      call("POST", `api/v1/approvals/${id}`, { approve }),
    onSettled: () => client.invalidateQueries({ queryKey: APPROVALS_KEY }),
    onError: (error) => show(error.message),
  });
}

/** Stores what is made of the reply of a turn and shows on its row how far that got. */
export function useJudge() {
  const show = useShowNotice();
  const store = useLiveStore();
  const client = useQueryClient();
  const { mutate } = useMutation({
    mutationFn: ({ turn, judgement }: { turn: string; judgement: Judgement }) =>
      sendJudgement(turn, judgement),
    onMutate: ({ turn, judgement }) => store.judge(turn, { judgement, state: "saving" }),
    onSuccess: (_, { turn, judgement }) => {
      store.judge(turn, { judgement, state: "stored" });
      return client.invalidateQueries({ queryKey: feedbackKey(turn) });
    },
    onError: (error, { turn, judgement }) => {
      store.judge(turn, { judgement, state: "failed" });
      show(error.message);
    },
  });
  return mutate;
}

function sendJudgement(turn: string, judgement: Judgement): Promise<unknown> {
  if ("value" in judgement && judgement.value === 0) {
    const query = new URLSearchParams({ experience: turn, kind: judgement.kind });
    return call("DELETE", `api/v1/feedback?${query}`);
  }
  return call("POST", "api/v1/feedback", { experience: turn, ...judgement });
}

/** What people and the room made of the reply of a turn. */
export function useFeedback(turn: string) {
  return useQuery({
    queryKey: feedbackKey(turn),
    queryFn: () => {
      const query = new URLSearchParams({ experience: turn });
      return call<FeedbackSummary>("GET", `api/v1/feedback?${query}`);
    },
  });
}

const feedbackKey = (turn: string) => ["feedback", turn] as const;

/** The keys that overlays in OBS use. */
export function useOverlayKeys(enabled: boolean) {
  return useQuery({
    queryKey: OVERLAY_KEYS_KEY,
    queryFn: () => call<{ keys: OverlayKey[] }>("GET", "api/v1/overlay-keys"),
    enabled,
  });
}

/** Makes a key for an overlay; the answer holds the secret, which is shown once. */
export function useCreateOverlayKey() {
  const show = useShowNotice();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (request: { overlay: string; label: string }) =>
      call<NewOverlayKey>("POST", "api/v1/overlay-keys", request),
    onSuccess: () => client.invalidateQueries({ queryKey: OVERLAY_KEYS_KEY }),
    onError: (error) => show(error.message),
  });
}

/** Revokes a key: overlays that use it go dark. */
export function useRevokeOverlayKey() {
  const show = useShowNotice();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => call("DELETE", `api/v1/overlay-keys/${id}`),
    onSuccess: () => client.invalidateQueries({ queryKey: OVERLAY_KEYS_KEY }),
    onError: (error) => show(error.message),
  });
}
