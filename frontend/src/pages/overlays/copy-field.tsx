/** A text to copy, with the button that does it. */
import { Check, Copy } from "lucide-react";
import { useId, useRef, useState } from "react";
import styles from "@/pages/overlays/overlays-page.module.css";
import { Button } from "@/ui/button";

/** The button says "Copied" until the text changes. */
export function CopyField({ label, value }: { label: string; value: string }) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const [copied, setCopied] = useState("");
  const copy = () => {
    void copyText(value, input.current).then((done) => setCopied(done ? value : ""));
  };
  const isCopied = copied === value;
  return (
    <div className={styles.copy}>
      <label htmlFor={id}>{label}</label>
      <div>
        <input id={id} ref={input} readOnly value={value} onFocus={(e) => e.target.select()} />
        <Button tone="primary" onClick={copy} aria-live="polite">
          {isCopied ? <Check size={16} aria-hidden /> : <Copy size={16} aria-hidden />}
          {isCopied ? "Copied" : "Copy"}
        </Button>
      </div>
    </div>
  );
}

/** Plain HTTP from another machine has no clipboard: there the text is only selected. */
async function copyText(text: string, input: HTMLInputElement | null): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    input?.select();
    return false;
  }
}
