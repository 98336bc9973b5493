/** The chat monitor: what the chat says, what the co-host makes of it, and why. */
import { useJudge, useStatus } from "@/api/queries";
import { useLive } from "@/live/context";
import { Approvals } from "@/pages/monitor/approvals";
import { EmptyState } from "@/pages/monitor/empty-state";
import { Feed } from "@/pages/monitor/feed";
import styles from "@/pages/monitor/monitor-page.module.css";
import { RehearsalBar } from "@/pages/monitor/rehearsal-bar";
import { Summary } from "@/pages/monitor/summary";

/** The page at `/`. */
export function MonitorPage() {
  const { timeline, moods } = useLive();
  const { data: status } = useStatus();
  const judge = useJudge();
  return (
    <div className={styles.page}>
      <div className={styles.header}>
        <h1>Chat Monitor</h1>
        <RehearsalBar />
      </div>
      <Approvals />
      <div className={styles.body}>
        {timeline.rows.length === 0 ? (
          <EmptyState />
        ) : (
          <Feed
            timeline={timeline}
            cohost={status?.cohost ?? "Co-host"}
            onJudge={(turn, judgement) => judge({ turn, judgement })}
          />
        )}
        <Summary counts={timeline.counts} moods={moods} brain={status?.brain} />
      </div>
    </div>
  );
}
