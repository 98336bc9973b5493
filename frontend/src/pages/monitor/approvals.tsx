/** Calls of tools that wait for a moderator: what would be done, for whom, and the two answers. */
import { Check, X } from "lucide-react";
import { useApprovals, useDecide } from "@/api/queries";
import type { Approval } from "@/api/types";
import styles from "@/pages/monitor/approvals.module.css";
import { Button } from "@/ui/button";

/** Nothing while nothing waits. */
export function Approvals() {
  const { data: waiting } = useApprovals();
  const decide = useDecide();
  if (!waiting?.length) return null;
  return (
    <section className={styles.panel} aria-label="Waiting for your approval">
      <h2>Waiting for you</h2>
      <ul>
        {waiting.map((approval) => (
          <ApprovalView
            key={approval.id}
            approval={approval}
            isDecided={decide.isPending && decide.variables.id === approval.id}
            onDecide={(approve) => decide.mutate({ id: approval.id, approve })}
          />
        ))}
      </ul>
    </section>
  );
}

interface ApprovalViewProps {
  approval: Approval;
  isDecided: boolean;
  onDecide: (approve: boolean) => void;
}

/** One call; what is approved is exactly what is shown. */
export function ApprovalView({ approval, isDecided, onDecide }: ApprovalViewProps) {
  const { tool, description, user, role, text, why } = approval;
  return (
    <li className={styles.call}>
      <div className={styles.words}>
        <p>
          <code>{tool}</code> for <strong>{user}</strong> ({role}), who wrote “{text}”
        </p>
        <p className={styles.what}>{description}</p>
        <pre className={styles.arguments}>{approval.arguments}</pre>
        <p className={styles.what}>{why}</p>
      </div>
      <div className={styles.answers}>
        <Button disabled={isDecided} onClick={() => onDecide(true)}>
          <Check size={16} aria-hidden />
          Allow
        </Button>
        <Button disabled={isDecided} onClick={() => onDecide(false)}>
          <X size={16} aria-hidden />
          Decline
        </Button>
      </div>
    </li>
  );
}
