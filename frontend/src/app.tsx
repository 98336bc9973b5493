/** Composes the app: live feed, queries, routes, and the sign-in page when a token is needed. */
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { Suspense, lazy, useEffect, useState } from "react";
import { Redirect, Route, Router, Switch } from "wouter";
import { ApiError, authorisedSocketUrl } from "@/api/client";
import { STATUS_KEY } from "@/api/queries";
import type { Status } from "@/api/types";
import { serverUrl } from "@/live/address";
import { LiveContext } from "@/live/context";
import { LiveSocket } from "@/client/live-socket";
import { LiveStore } from "@/live/store";
import { MonitorPage } from "@/pages/monitor/monitor-page";
import { SignInPage } from "@/pages/sign-in/sign-in-page";
import { NoticeProvider } from "@/ui/notices";
import { Shell } from "@/ui/shell";
import { TooltipProvider } from "@/ui/tooltip";

const ChannelsPage = lazy(() => import("@/pages/channels/channels-page"));
const OverlaysPage = lazy(() => import("@/pages/overlays/overlays-page"));

const isUnauthorized = (error: unknown) => error instanceof ApiError && error.status === 401;

function createQueryClient(onUnauthorized: () => void): QueryClient {
  const onError = (error: unknown) => {
    if (isUnauthorized(error)) onUnauthorized();
  };
  return new QueryClient({
    queryCache: new QueryCache({ onError }),
    mutationCache: new MutationCache({ onError }),
    defaultOptions: {
      queries: { retry: (failures, error) => failures < 2 && !(error instanceof ApiError) },
      // A mute pressed while offline must fail aloud, not wait for the network.
      mutations: { networkMode: "always" },
    },
  });
}

/** Keeps the live feed connected while the caller may read it. */
function useLiveFeed(store: LiveStore, enabled: boolean, onUnauthorized: () => void): void {
  useEffect(() => {
    if (!enabled) return;
    const socket = new LiveSocket({
      address: async () => {
        try {
          return await authorisedSocketUrl("ws/live");
        } catch (error) {
          if (isUnauthorized(error)) onUnauthorized();
          throw error;
        }
      },
      onFrame: (frame) => store.receive(frame),
      onState: (state) => store.setConnection(state),
      onUnauthorized,
    });
    const reconnect = () => socket.start();
    socket.start();
    window.addEventListener("online", reconnect);
    return () => {
      window.removeEventListener("online", reconnect);
      socket.stop();
    };
  }, [store, enabled, onUnauthorized]);
}

/** The whole app. */
export function App() {
  const [locked, setLocked] = useState(false);
  const [lock] = useState(() => () => setLocked(true));
  const [client] = useState(() => createQueryClient(lock));
  const [store] = useState(
    () =>
      new LiveStore((state) => {
        client.setQueryData<Status>(STATUS_KEY, (status) => ({ ...status, ...state }));
      }),
  );
  useLiveFeed(store, !locked, lock);
  const unlock = () => {
    client.clear();
    setLocked(false);
  };
  return (
    <QueryClientProvider client={client}>
      <LiveContext value={store}>
        <TooltipProvider delayDuration={300}>
          <NoticeProvider>{locked ? <SignInPage onSignedIn={unlock} /> : <Pages />}</NoticeProvider>
        </TooltipProvider>
      </LiveContext>
    </QueryClientProvider>
  );
}

function Pages() {
  const base = serverUrl("").pathname.replace(/\/$/, "");
  return (
    <Router base={base}>
      <Shell>
        <Suspense>
          <Switch>
            <Route path="/" component={MonitorPage} />
            <Route path="/overlays" component={OverlaysPage} />
            <Route path="/channels" component={ChannelsPage} />
            <Route>
              <Redirect to="/" replace />
            </Route>
          </Switch>
        </Suspense>
      </Shell>
    </Router>
  );
}
