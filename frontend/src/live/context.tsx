/** The live store for React components. */
import { createContext, use, useSyncExternalStore } from "react";
import type { LiveStore, LiveView } from "@/live/store";

export const LiveContext = createContext<LiveStore | null>(null);

/** The live store of the app. */
export function useLiveStore(): LiveStore {
  const store = use(LiveContext);
  if (!store) throw new Error("useLiveStore needs a LiveContext above it");
  return store;
}

/** The timeline, the moods and the connection state, renewed at most once per frame. */
export function useLive(): LiveView {
  const store = useLiveStore();
  return useSyncExternalStore(store.subscribe, store.getSnapshot);
}
