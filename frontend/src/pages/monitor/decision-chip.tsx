/** The fate of a message: answered, skipped, blocked or still waiting, and why. */
import { Ban, Check, Hourglass, type LucideIcon, Minus } from "lucide-react";
import type { DecisionAction, DecisionEvent } from "@/client/live-events";
import { reasonLabel } from "@/live/reasons";
import styles from "@/pages/monitor/decision-chip.module.css";
import { Tooltip } from "@/ui/tooltip";

const LOOKS: Record<DecisionAction, { word: string; Icon: LucideIcon }> = {
  answered: { word: "answered", Icon: Check },
  skipped: { word: "skipped", Icon: Minus },
  blocked: { word: "blocked", Icon: Ban },
};

/** Without a decision the chip says that the message waits. */
export function DecisionChip({ decision }: { decision: DecisionEvent | null }) {
  if (!decision) {
    return (
      <span className={`${styles.chip} ${styles.pending}`}>
        <Hourglass size={11} aria-hidden />
        pending
      </span>
    );
  }
  const { word, Icon } = LOOKS[decision.action];
  return (
    <Tooltip text={decision.detail} side="left">
      <span className={`${styles.chip} ${styles[decision.action]}`}>
        <Icon size={12} aria-hidden />
        <span>
          {word} <span className={styles.why}>· {reasonLabel(decision.reason)}</span>
        </span>
        {decision.detail && <span className="sr-only">: {decision.detail}</span>}
      </span>
    </Tooltip>
  );
}
