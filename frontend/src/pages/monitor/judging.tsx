/** What is made of a reply: thumbs, a better reply, a note, a mark of danger, and who judged it. */
import { Pencil, ShieldAlert, StickyNote, ThumbsDown, ThumbsUp } from "lucide-react";
import { type KeyboardEvent, type ReactNode, useId, useState } from "react";
import { useFeedback } from "@/api/queries";
import type { Feedback } from "@/api/types";
import type { Judged, Judgement, ReplyRow } from "@/live/rows";
import styles from "@/pages/monitor/judging.module.css";
import { Button } from "@/ui/button";
import { useHotkeys } from "@/ui/hotkeys";

/** What is being written about a reply. */
type Writing = "edit" | "note" | null;

/** What is being written, opened and closed by E and N on the selected reply. */
export function useWriting(isSelected: boolean): [Writing, (what: Writing) => void] {
  const [writing, setWriting] = useState<Writing>(null);
  const toggle = (what: Writing) => setWriting((now) => (now === what ? null : what));
  useHotkeys(isSelected ? { e: () => toggle("edit"), n: () => toggle("note") } : {});
  return [writing, toggle];
}

interface JudgingProps {
  row: ReplyRow;
  writing: Writing;
  /** Opens a form, or closes it when it is open. */
  onWrite: (what: Writing) => void;
  onJudge: (judgement: Judgement) => void;
}

/** The buttons of a reply. */
export function JudgingButtons({ row, writing, onWrite, onJudge }: JudgingProps) {
  return (
    <span className={styles.buttons} onClick={(event) => event.stopPropagation()}>
      <span className={styles.state} aria-live="polite">
        {row.judged && judgedLabel(row.judged)}
      </span>
      <Thumb value={1} row={row} onJudge={onJudge} />
      <Thumb value={-1} row={row} onJudge={onJudge} />
      <Tool
        label="Write a better reply"
        hint="E"
        isPressed={writing === "edit"}
        onClick={() => onWrite("edit")}
      >
        <Pencil size={14} aria-hidden />
      </Tool>
      <Tool
        label="Add a note"
        hint="N"
        isPressed={writing === "note"}
        onClick={() => onWrite("note")}
      >
        <StickyNote size={14} aria-hidden />
      </Tool>
      <Tool
        label="Mark as unsafe"
        hint="U"
        tone={styles.bad}
        isPressed={row.isUnsafe}
        onClick={() => onJudge({ kind: "safety", value: row.isUnsafe ? 0 : 1 })}
      >
        <ShieldAlert size={14} aria-hidden />
      </Tool>
    </span>
  );
}

/** The form that is open. */
export function JudgingForm({ row, writing, onWrite, onJudge }: JudgingProps) {
  if (writing === null) return null;
  const isEdit = writing === "edit";
  return (
    <Form
      key={writing}
      label={isEdit ? "The reply as it should have been" : "Your note"}
      initial={isEdit ? row.text : ""}
      onSend={(text) => {
        onWrite(writing);
        onJudge(isEdit ? { kind: "edit", text } : { kind: "note", note: text });
      }}
      onCancel={() => onWrite(writing)}
    />
  );
}

function Thumb({
  value,
  row,
  onJudge,
}: Pick<JudgingProps, "row" | "onJudge"> & { value: 1 | -1 }) {
  const isGiven = row.thumb === value;
  const Icon = value === 1 ? ThumbsUp : ThumbsDown;
  return (
    <Tool
      label={value === 1 ? "Good reply" : "Bad reply"}
      hint={value === 1 ? "G" : "B"}
      tone={value === 1 ? styles.good : styles.bad}
      isPressed={isGiven}
      onClick={() => onJudge({ kind: "thumb", value: isGiven ? 0 : value })}
    >
      <Icon size={14} aria-hidden />
    </Tool>
  );
}

interface ToolProps {
  label: string;
  /** The key that does the same for the selected reply. */
  hint: string;
  tone?: string;
  isPressed: boolean;
  onClick: () => void;
  children: ReactNode;
}

function Tool({ label, hint, tone, isPressed, onClick, children }: ToolProps) {
  return (
    <button
      type="button"
      className={[styles.tool, tone].filter(Boolean).join(" ")}
      aria-pressed={isPressed}
      aria-keyshortcuts={hint}
      title={`${label} (${hint})`}
      onClick={onClick}
    >
      {children}
      <span className="sr-only">{label}</span>
    </button>
  );
}

interface FormProps {
  label: string;
  initial: string;
  onSend: (text: string) => void;
  onCancel: () => void;
}

/** A text field; Enter sends it, Shift+Enter begins a line, Escape closes it. */
function Form({ label, initial, onSend, onCancel }: FormProps) {
  const id = useId();
  const [text, setText] = useState(initial);
  const send = () => {
    if (text.trim()) onSend(text.trim());
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // While a word is being composed, Enter takes the word.
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      send();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      onCancel();
    }
  };
  return (
    <form
      className={styles.form}
      onClick={(event) => event.stopPropagation()}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <label htmlFor={id}>{label}</label>
      <textarea
        id={id}
        rows={2}
        maxLength={2000}
        autoFocus
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <div className={styles.answers}>
        <Button type="submit" disabled={!text.trim()}>
          Store
        </Button>
        <Button onClick={onCancel}>Cancel</Button>
      </div>
    </form>
  );
}

/** Who judged the reply of a turn, and how. */
export function Judges({ turn }: { turn: string }) {
  const { data } = useFeedback(turn);
  return <FeedbackList feedback={data?.feedback ?? []} />;
}

/** One line for each judgement; nothing when there is none. */
export function FeedbackList({ feedback }: { feedback: readonly Feedback[] }) {
  if (feedback.length === 0) return null;
  return (
    <ul className={styles.judges} aria-label="Judgements">
      {feedback.map((each) => (
        <li key={each.id}>
          <strong>{each.kind === "reward" ? "The room" : each.by}</strong>
          <span className={styles.source}>{sourceLabel(each)}</span> {sentence(each)}
          {each.note && each.kind !== "note" && <span> “{each.note}”</span>}
        </li>
      ))}
    </ul>
  );
}

function sourceLabel({ source, weight }: Feedback): string {
  if (source === "system" || source === "") return "";
  return weight === 0 ? ` (${source}, does not count)` : ` (${source})`;
}

function sentence({ kind, value, text, note }: Feedback): string {
  switch (kind) {
    case "thumb":
      return value > 0 ? "liked it" : "did not like it";
    case "reward":
      return value > 0 ? "reacted more than usual" : "reacted less than usual";
    case "edit":
      return `would have said “${String(text)}”`;
    case "rank":
      return `ranked ${text.length} replies`;
    case "note":
      return `noted “${note}”`;
    case "safety":
      return "marked it as unsafe: it is never learned from";
  }
}

function judgedLabel({ judgement, state }: Judged): string {
  if (state === "saving") return "saving…";
  if (state === "failed") return "not stored";
  switch (judgement.kind) {
    case "thumb":
      if (judgement.value === 0) return "taken back";
      return judgement.value === 1 ? "stored as good" : "stored as bad";
    case "edit":
      return "better reply stored";
    case "note":
      return "note stored";
    case "safety":
      return judgement.value === 1 ? "never learned from" : "taken back";
  }
}
