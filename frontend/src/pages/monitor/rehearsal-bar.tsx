/** Starts, shows and stops the rehearsal of the bundled sample stream. */
import { Play, Square } from "lucide-react";
import { useState } from "react";
import { useRehearsal, useStartRehearsal, useStopRehearsal } from "@/api/queries";
import type { Rehearsal, RehearsalSpeed } from "@/api/types";
import styles from "@/pages/monitor/rehearsal-bar.module.css";
import { Button } from "@/ui/button";
import { Choice } from "@/ui/choice";

const SPEEDS: readonly { value: RehearsalSpeed; label: string }[] = [
  { value: 1, label: "1×" },
  { value: 10, label: "10×" },
  { value: "max", label: "max" },
];

/** The controls in the page's header. */
export function RehearsalBar() {
  const [speed, setSpeed] = useState<RehearsalSpeed>(10);
  const { data: rehearsal } = useRehearsal();
  const start = useStartRehearsal();
  if (rehearsal?.state === "running") return <Progress rehearsal={rehearsal} />;
  return (
    <div className={styles.bar}>
      {rehearsal && <p className={styles.outcome}>{outcome(rehearsal)}</p>}
      <Choice label="Speed of the rehearsal" options={SPEEDS} value={speed} onChange={setSpeed} />
      <Button disabled={start.isPending} onClick={() => start.mutate(speed)}>
        <Play size={16} aria-hidden />
        Rehearse the sample stream
      </Button>
    </div>
  );
}

function Progress({ rehearsal }: { rehearsal: Rehearsal }) {
  const stop = useStopRehearsal();
  const { id, played, total, channel } = rehearsal;
  return (
    <div className={styles.bar}>
      <label className={styles.progress}>
        <span>
          Rehearsing in <strong>{channel}</strong>
        </span>
        <progress value={played} max={Math.max(total, 1)} />
        <span className={styles.count}>
          {played} / {total}
        </span>
      </label>
      <Button disabled={stop.isPending} onClick={() => stop.mutate(id)}>
        <Square size={14} aria-hidden />
        Stop
      </Button>
    </div>
  );
}

function outcome({ state, played, total, error }: Rehearsal): string {
  if (state === "failed") return error || "The last rehearsal failed.";
  if (state === "stopped") return `Stopped after ${played} of ${total}`;
  return `Played all ${played}`;
}
