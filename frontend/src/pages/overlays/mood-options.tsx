/** What can be set about the mood overlay. */
import type { ReactNode } from "react";
import { type Query, unless } from "@/pages/overlays/overlay-url";
import styles from "@/pages/overlays/overlays-page.module.css";
import { RangeField } from "@/pages/overlays/range-field";
import { Choice } from "@/ui/choice";

interface Options {
  theme: "glow" | "bar" | "river";
  /** The edge that glows. */
  pos: "bottom" | "top" | "left" | "right";
  /** Minutes of the river. */
  minutes: number;
  scale: number;
}

export const DEFAULT_MOOD: Options = { theme: "glow", pos: "bottom", minutes: 5, scale: 1 };

const THEMES = [
  { value: "glow", label: "Glow" },
  { value: "bar", label: "Bar" },
  { value: "river", label: "River" },
] as const;
const EDGES = [
  { value: "bottom", label: "Bottom" },
  { value: "top", label: "Top" },
  { value: "left", label: "Left" },
  { value: "right", label: "Right" },
] as const;

interface MoodOptionsProps {
  options: Options;
  onChange: (options: Options) => void;
}

/** The fields, of which some belong to one theme only. */
export function MoodOptions({ options, onChange }: MoodOptionsProps) {
  const change = (changes: Partial<Options>) => onChange({ ...options, ...changes });
  return (
    <div className={styles.options}>
      <Row name="Theme">
        <Choice
          label="Theme"
          options={THEMES}
          value={options.theme}
          onChange={(theme) => change({ theme })}
        />
      </Row>
      {options.theme === "glow" && (
        <Row name="Edge">
          <Choice
            label="Edge"
            options={EDGES}
            value={options.pos}
            onChange={(pos) => change({ pos })}
          />
        </Row>
      )}
      {options.theme === "river" && (
        <RangeField
          label="Minutes"
          min={1}
          max={30}
          value={options.minutes}
          shown={String(options.minutes)}
          onChange={(minutes) => change({ minutes })}
        />
      )}
      <RangeField
        label="Scale"
        min={0.5}
        max={3}
        step={0.1}
        value={options.scale}
        shown={`${options.scale.toFixed(1)}×`}
        onChange={(scale) => change({ scale })}
      />
    </div>
  );
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className={styles.row}>
      <span aria-hidden>{name}</span>
      {children}
    </div>
  );
}

/** The query of the address. */
export function moodQuery({ theme, pos, minutes, scale }: Options): Query {
  return {
    theme,
    pos: theme === "glow" ? unless(DEFAULT_MOOD.pos, pos) : "",
    minutes: theme === "river" ? unless(DEFAULT_MOOD.minutes, minutes) : "",
    scale: unless(DEFAULT_MOOD.scale, scale),
  };
}
