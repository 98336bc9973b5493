/** What the monitor shows before anything was said: the next thing to do. */
import { Play } from "lucide-react";
import { useRehearsal, useStartRehearsal, useStatus } from "@/api/queries";
import styles from "@/pages/monitor/empty-state.module.css";
import { Button } from "@/ui/button";

/** Fills the place of the feed. */
export function EmptyState() {
  const start = useStartRehearsal();
  const { data: rehearsal } = useRehearsal();
  const { data: status } = useStatus();
  const isBusy = start.isPending || rehearsal?.state === "running";
  return (
    <section className={styles.empty}>
      <h2>Nobody has said anything yet</h2>
      <p>
        {waitingFor(status?.channels ?? [])} To see the co-host at work now, play a recorded chat.
      </p>
      <Button tone="primary" size="large" disabled={isBusy} onClick={() => start.mutate(10)}>
        <Play size={18} aria-hidden />
        Rehearse the sample stream
      </Button>
      {status && (
        <p className={styles.brain}>
          Brain: <strong>{status.brain.provider}</strong>. {status.brain.description}
        </p>
      )}
    </section>
  );
}

function waitingFor(channels: string[]): string {
  if (channels.length === 0) return "No channel is connected.";
  return `Messages of ${channels.join(", ")} appear here as they come.`;
}
