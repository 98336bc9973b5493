/** One sentence at a time about something that just failed, shown under the top bar. */
import { X } from "lucide-react";
import { type ReactNode, createContext, use, useState } from "react";
import styles from "@/ui/notices.module.css";

type Show = (sentence: string) => void;

const ShowContext = createContext<Show>(() => undefined);
const SentenceContext = createContext("");

/** A function that shows a sentence until it is dismissed or replaced; "" takes it away. */
export function useShowNotice(): Show {
  return use(ShowContext);
}

/** Holds the sentence for everything below it. */
export function NoticeProvider({ children }: { children: ReactNode }) {
  const [sentence, setSentence] = useState("");
  return (
    <ShowContext value={setSentence}>
      <SentenceContext value={sentence}>{children}</SentenceContext>
    </ShowContext>
  );
}

/** The strip that shows the sentence; nothing when there is none. */
export function NoticeStrip() {
  const sentence = use(SentenceContext);
  const show = useShowNotice();
  return (
    <div role="alert">
      {sentence && (
        <div className={styles.strip}>
          <span>{sentence}</span>
          <button type="button" className={styles.close} onClick={() => show("")}>
            <X size={16} aria-hidden />
            <span className="sr-only">Dismiss</span>
          </button>
        </div>
      )}
    </div>
  );
}
