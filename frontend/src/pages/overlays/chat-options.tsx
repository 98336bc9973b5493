/** What can be set about the chat overlay. */
import { type Query, unless } from "@/pages/overlays/overlay-url";
import styles from "@/pages/overlays/overlays-page.module.css";
import { RangeField } from "@/pages/overlays/range-field";

interface Options {
  scale: number;
  max: number;
}

export const DEFAULT_CHAT: Options = { scale: 1, max: 8 };

interface ChatOptionsProps {
  options: Options;
  onChange: (options: Options) => void;
}

/** The fields. */
export function ChatOptions({ options, onChange }: ChatOptionsProps) {
  return (
    <div className={styles.options}>
      <RangeField
        label="Scale"
        min={0.5}
        max={3}
        step={0.1}
        value={options.scale}
        shown={`${options.scale.toFixed(1)}×`}
        onChange={(scale) => onChange({ ...options, scale })}
      />
      <RangeField
        label="Messages"
        min={1}
        max={20}
        value={options.max}
        shown={String(options.max)}
        onChange={(max) => onChange({ ...options, max })}
      />
    </div>
  );
}

/** The query of the address. */
export function chatQuery({ scale, max }: Options): Query {
  return { scale: unless(DEFAULT_CHAT.scale, scale), max: unless(DEFAULT_CHAT.max, max) };
}
