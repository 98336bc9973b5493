/** Makes and revokes the read-only keys that overlays need when the server asks for tokens. */
import { KeyRound } from "lucide-react";
import { useCreateOverlayKey, useOverlayKeys, useRevokeOverlayKey } from "@/api/queries";
import styles from "@/pages/overlays/overlays-page.module.css";
import { Button } from "@/ui/button";

interface OverlayKeysProps {
  overlay: string;
  /** Gets a new key; the server does not show it a second time. */
  onCreated: (key: string) => void;
}

/** The list of keys and the button that makes one. */
export function OverlayKeys({ overlay, onCreated }: OverlayKeysProps) {
  const { data } = useOverlayKeys(true);
  const create = useCreateOverlayKey();
  const revoke = useRevokeOverlayKey();
  const keys = (data?.keys ?? []).filter((key) => key.overlay === overlay && !key.revoked);
  const make = () =>
    create.mutate({ overlay, label: "OBS" }, { onSuccess: ({ key }) => onCreated(key) });
  return (
    <section className={styles.keys}>
      <div className={styles.previewHead}>
        <h2>Keys</h2>
        <Button disabled={create.isPending} onClick={make}>
          <KeyRound size={15} aria-hidden />
          Make a key
        </Button>
      </div>
      <p className={styles.hint}>
        The overlay needs a key because this server asks for tokens. A key only reads this overlay,
        is put into the address above, and is shown once.
      </p>
      <ul>
        {keys.map(({ id, label }) => (
          <li key={id}>
            <span>{label || "unnamed"}</span>
            <code>{id}</code>
            <Button onClick={() => revoke.mutate(id)}>Revoke</Button>
          </li>
        ))}
      </ul>
    </section>
  );
}
