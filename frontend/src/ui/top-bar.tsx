/** The bar on every page: connection, who is on stage, and the switches for an emergency. */
import { Mic, MicOff, SkipForward, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { useMute, useSkip, useStatus } from "@/api/queries";
import type { Status } from "@/api/types";
import { useLive } from "@/live/context";
import type { SocketState } from "@/client/live-socket";
import { Button } from "@/ui/button";
import { useHotkeys } from "@/ui/hotkeys";
import { Tooltip } from "@/ui/tooltip";
import styles from "@/ui/top-bar.module.css";

const CONNECTION_LABELS: Record<SocketState, string> = {
  live: "Live",
  connecting: "Connecting",
  offline: "Offline",
};

/** Live or offline, persona, brain, channels, Skip and Mute. */
export function TopBar() {
  const { connection } = useLive();
  const { data: status } = useStatus();
  return (
    <header className={styles.bar}>
      <Health connection={connection} muted={status?.muted ?? false} />
      {status && <Facts status={status} />}
      <Problems problems={status?.problems ?? []} />
      <Actions muted={status?.muted ?? false} />
    </header>
  );
}

function Health({ connection, muted }: { connection: SocketState; muted: boolean }) {
  return (
    <div className={styles.health} aria-live="polite">
      <span className={`${styles.state} ${styles[connection]}`}>
        {CONNECTION_LABELS[connection]}
      </span>
      {muted && <span className={styles.muted}>Muted</span>}
    </div>
  );
}

function Facts({ status }: { status: Status }) {
  const { provider, model, description } = status.brain;
  const brain = model && model !== provider ? `${provider} · ${model}` : provider;
  return (
    <dl className={styles.facts}>
      <Fact term="Persona">{status.persona}</Fact>
      <Fact term="Brain">
        <Tooltip text={description} side="bottom">
          <button type="button" className={styles.explained}>
            {brain}
          </button>
        </Tooltip>
      </Fact>
      <Fact term={status.channels.length > 1 ? "Channels" : "Channel"}>
        {status.channels.join(", ") || "none"}
      </Fact>
    </dl>
  );
}

function Fact({ term, children }: { term: string; children: ReactNode }) {
  return (
    <div className={styles.fact}>
      <dt>{term}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Problems({ problems }: { problems: string[] }) {
  if (problems.length === 0) return null;
  const list = problems.map((problem) => <p key={problem}>{problem}</p>);
  return (
    <Tooltip text={list} side="bottom">
      <button type="button" className={styles.problems}>
        <TriangleAlert size={16} aria-hidden />
        {problems.length === 1 ? "1 problem" : `${problems.length} problems`}
      </button>
    </Tooltip>
  );
}

function Actions({ muted }: { muted: boolean }) {
  const mute = useMute();
  const skip = useSkip();
  const toggle = () => mute.mutate(!muted);
  useHotkeys({ m: toggle });
  return (
    <div className={styles.actions}>
      <Button onClick={() => skip.mutate()} title="Break off the reply under way">
        <SkipForward size={16} aria-hidden />
        Skip
      </Button>
      <Button tone="danger" onClick={toggle} aria-keyshortcuts="m">
        {muted ? <Mic size={16} aria-hidden /> : <MicOff size={16} aria-hidden />}
        {muted ? "Unmute" : "Mute"}
        <kbd aria-hidden>M</kbd>
      </Button>
    </div>
  );
}
