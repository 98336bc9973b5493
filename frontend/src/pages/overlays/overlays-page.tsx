/** Sets up the chat overlay: one address to paste into OBS, with a preview. */
import { useState } from "react";
import { currentToken } from "@/api/token";
import { serverUrl } from "@/live/address";
import { CopyField } from "@/pages/overlays/copy-field";
import { OverlayKeys } from "@/pages/overlays/overlay-keys";
import styles from "@/pages/overlays/overlays-page.module.css";
import { Choice } from "@/ui/choice";

interface Options {
  scale: number;
  max: number;
}

const DEFAULTS: Options = { scale: 1, max: 8 };
const SAMPLES = [
  { value: "sample", label: "Sample" },
  { value: "live", label: "Live" },
] as const;

/** The page at `/overlays`. */
export default function OverlaysPage() {
  const [options, setOptions] = useState(DEFAULTS);
  const [key, setKey] = useState("");
  const [preview, setPreview] = useState<"sample" | "live">("sample");
  const address = overlayUrl(options, key);
  const previewAddress = new URL(address);
  if (preview === "sample") previewAddress.searchParams.set("sample", "1");
  return (
    <div className={styles.page}>
      <div className={styles.setup}>
        <h1>Chat overlay</h1>
        <p className={styles.lead}>
          In OBS add a <strong>Browser</strong> source, paste this address, and size it as you
          like: 640 × 720 suits a corner of a 1920 × 1080 scene. The background is transparent.
        </p>
        <CopyField label="Address for OBS" value={address.href} />
        <OptionFields options={options} onChange={setOptions} />
        {currentToken() && <OverlayKeys overlay="chat" onCreated={setKey} />}
        <p className={styles.hint}>
          To restyle it, use OBS's Custom CSS box. The class names are stable:{" "}
          <code>.us-row</code> <code>.us-name</code> <code>.us-text</code>{" "}
          <code>.us-reply</code> <code>.us-first</code> <code>.us-moderator</code>, and the
          variables <code>--us-accent</code> <code>--us-back</code> <code>--us-text</code>.
        </p>
      </div>
      <section className={styles.preview}>
        <div className={styles.previewHead}>
          <h2>Preview</h2>
          <Choice label="What to show" options={SAMPLES} value={preview} onChange={setPreview} />
        </div>
        <iframe className={styles.frame} title="Chat overlay preview" src={previewAddress.href} />
      </section>
    </div>
  );
}

interface OptionFieldsProps {
  options: Options;
  onChange: (options: Options) => void;
}

function OptionFields({ options, onChange }: OptionFieldsProps) {
  return (
    <div className={styles.options}>
      <label>
        <span>Scale</span>
        <input
          type="range"
          min={0.5}
          max={3}
          step={0.1}
          value={options.scale}
          onChange={(event) => onChange({ ...options, scale: Number(event.target.value) })}
        />
        <output>{options.scale.toFixed(1)}×</output>
      </label>
      <label>
        <span>Messages</span>
        <input
          type="range"
          min={1}
          max={20}
          value={options.max}
          onChange={(event) => onChange({ ...options, max: Number(event.target.value) })}
        />
        <output>{options.max}</output>
      </label>
    </div>
  );
}

/** Options at their default stay out of the address, to keep it short. */
function overlayUrl({ scale, max }: Options, key: string): URL {
  const url = serverUrl("overlay/chat");
  if (key) url.searchParams.set("key", key);
  if (scale !== DEFAULTS.scale) url.searchParams.set("scale", String(scale));
  if (max !== DEFAULTS.max) url.searchParams.set("max", String(max));
  return url;
}
