/** The login to Twitch, as a TanStack query and mutations. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { call } from "@/api/client";
import { useShowNotice } from "@/ui/notices";

/** A login that waits for its user; `expires_in` is in seconds. */
export interface PendingLogin {
  user_code: string;
  verification_uri: string;
  expires_in: number;
}

/** `GET /api/v1/twitch`. */
export interface Twitch {
  client_id_set: boolean;
  login: string | null;
  scopes: string[];
  /** What was not granted, and what it would let Understudy do. */
  missing: { scope: string; allows: string }[];
  pending: PendingLogin | null;
  /** What went wrong with the last attempt to log in or out; else empty. */
  failure: string;
  problems: string[];
  channels: string[];
  send: boolean;
}

const TWITCH_KEY = ["twitch"] as const;
const EVERY_MS = 15_000;
/** Somebody sits before the page and has just entered the code. */
const PENDING_EVERY_MS = 2_000;

/** Who is logged in; asked often while a login waits for its user. */
export function useTwitch() {
  return useQuery({
    queryKey: TWITCH_KEY,
    queryFn: () => call<Twitch>("GET", "api/v1/twitch"),
    refetchInterval: (query) => (query.state.data?.pending ? PENDING_EVERY_MS : EVERY_MS),
  });
}

/** Begins a login. */
export function useTwitchLogin() {
  return useTwitchChange(() => call<PendingLogin>("POST", "api/v1/twitch/login"));
}

/** Logs out, or gives up the login that waits. */
export function useTwitchLogout() {
  return useTwitchChange(() => call("DELETE", "api/v1/twitch/login"));
}

function useTwitchChange(mutationFn: () => Promise<unknown>) {
  const show = useShowNotice();
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    onSettled: () => client.invalidateQueries({ queryKey: TWITCH_KEY }),
    onError: (error) => show(error.message),
  });
}
