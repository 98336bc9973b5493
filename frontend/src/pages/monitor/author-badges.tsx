/** The standing of a chatter as an icon with a word: never told by colour alone. */
import { Crown, Gem, Hand, type LucideIcon, Star, Sword } from "lucide-react";
import type { ChatEvent, Role } from "@/client/live-events";
import styles from "@/pages/monitor/author-badges.module.css";

const ROLES: Record<Exclude<Role, "viewer">, { label: string; Icon: LucideIcon }> = {
  streamer: { label: "Streamer", Icon: Crown },
  moderator: { label: "Mod", Icon: Sword },
  vip: { label: "VIP", Icon: Gem },
  subscriber: { label: "Sub", Icon: Star },
};

/** The badges before a name; nothing for a viewer who has written before. */
export function AuthorBadges({ message }: { message: ChatEvent }) {
  const role = message.role ?? "viewer";
  return (
    <>
      {role !== "viewer" && <Badge className={styles[role]} {...ROLES[role]} />}
      {message.first && <Badge className={styles.first} label="First message" Icon={Hand} />}
    </>
  );
}

interface BadgeProps {
  className: string | undefined;
  label: string;
  Icon: LucideIcon;
}

function Badge({ className, label, Icon }: BadgeProps) {
  return (
    <span className={`${styles.badge} ${className ?? ""}`}>
      <Icon size={11} aria-hidden />
      {label}
    </span>
  );
}
