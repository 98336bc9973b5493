/** Sets up the overlays: for each one address to paste into OBS, with a preview. */
import { type ReactNode, useState } from "react";
import { currentToken } from "@/api/token";
import { ChatOptions, DEFAULT_CHAT, chatQuery } from "@/pages/overlays/chat-options";
import { CopyField } from "@/pages/overlays/copy-field";
import { DEFAULT_MOOD, MoodOptions, moodQuery } from "@/pages/overlays/mood-options";
import { OverlayKeys } from "@/pages/overlays/overlay-keys";
import { type OverlayName, type Query, overlayUrl } from "@/pages/overlays/overlay-url";
import styles from "@/pages/overlays/overlays-page.module.css";
import { Choice } from "@/ui/choice";

const OVERLAYS = [
  { value: "chat", label: "Chat" },
  { value: "mood", label: "Mood" },
] as const;
const SAMPLES = [
  { value: "sample", label: "Sample" },
  { value: "live", label: "Live" },
] as const;

/** The page at `/overlays`. */
export default function OverlaysPage() {
  const [overlay, setOverlay] = useState<OverlayName>("chat");
  const choice = (
    <Choice label="Overlay" options={OVERLAYS} value={overlay} onChange={setOverlay} />
  );
  return overlay === "chat" ? <ChatPage choice={choice} /> : <MoodPage choice={choice} />;
}

function ChatPage({ choice }: { choice: ReactNode }) {
  const [options, setOptions] = useState(DEFAULT_CHAT);
  return (
    <Setup
      overlay="chat"
      choice={choice}
      query={chatQuery(options)}
      size="640 × 720 suits a corner of a 1920 × 1080 scene"
      names=".us-row .us-name .us-text .us-reply .us-first .us-moderator"
      variables="--us-accent --us-back --us-text"
    >
      <ChatOptions options={options} onChange={setOptions} />
    </Setup>
  );
}

function MoodPage({ choice }: { choice: ReactNode }) {
  const [options, setOptions] = useState(DEFAULT_MOOD);
  const sizes = {
    glow: "as large as the scene, 1920 × 1080",
    bar: "480 × 64 suits a scene of 1920 × 1080",
    river: "800 × 200 suits a scene of 1920 × 1080",
  };
  return (
    <Setup
      overlay="mood"
      choice={choice}
      query={moodQuery(options)}
      size={sizes[options.theme]}
      names=".us-glow .us-bar .us-track .us-fill .us-marker .us-river .us-word"
      variables="--us-back --us-text --us-font"
    >
      <MoodOptions options={options} onChange={setOptions} />
    </Setup>
  );
}

interface SetupProps {
  overlay: OverlayName;
  choice: ReactNode;
  query: Query;
  /** The size of the browser source, in words. */
  size: string;
  /** Class names and variables for OBS's Custom CSS, between spaces. */
  names: string;
  variables: string;
  children: ReactNode;
}

function Setup({ overlay, choice, query, size, names, variables, children }: SetupProps) {
  const [key, setKey] = useState("");
  return (
    <div className={styles.page}>
      <div className={styles.setup}>
        <div className={styles.previewHead}>
          <h1>Overlays</h1>
          {choice}
        </div>
        <p className={styles.lead}>
          In OBS add a <strong>Browser</strong> source, paste this address, and size it as you
          like: {size}. The background is transparent.
        </p>
        <CopyField label="Address for OBS" value={overlayUrl(overlay, { ...query, key }).href} />
        {children}
        {currentToken() && <OverlayKeys overlay={overlay} onCreated={setKey} />}
        <p className={styles.hint}>
          To restyle it, use OBS's Custom CSS box. The class names are stable:{" "}
          <Codes text={names} />, and the variables <Codes text={variables} />.
        </p>
      </div>
      <Preview overlay={overlay} query={{ ...query, key }} />
    </div>
  );
}

function Codes({ text }: { text: string }) {
  return text.split(" ").map((code, n) => (
    <span key={code}>
      {n > 0 && " "}
      <code>{code}</code>
    </span>
  ));
}

function Preview({ overlay, query }: { overlay: OverlayName; query: Query }) {
  const [source, setSource] = useState<"sample" | "live">("sample");
  const address = overlayUrl(overlay, source === "sample" ? { ...query, sample: "1" } : query);
  return (
    <section className={styles.preview}>
      <div className={styles.previewHead}>
        <h2>Preview</h2>
        <Choice label="What to show" options={SAMPLES} value={source} onChange={setSource} />
      </div>
      <iframe
        className={styles.frame}
        title={`Preview of the ${overlay} overlay`}
        src={address.href}
      />
    </section>
  );
}
