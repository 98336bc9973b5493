/** The time of a row, to the second, in the reader's time zone. */
import styles from "@/pages/monitor/row-view.module.css";

const FORMAT = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

/** `ts` is in milliseconds since the epoch. */
export function Time({ ts }: { ts: number }) {
  const date = new Date(ts);
  return (
    <time className={styles.time} dateTime={date.toISOString()}>
      {FORMAT.format(date)}
    </time>
  );
}
