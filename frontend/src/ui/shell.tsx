/** What surrounds every page: the rail of pages, the top bar, failures, and the page itself. */
import { Layers, MessagesSquare, Moon, Radio, Sun, TerminalSquare } from "lucide-react";
import type { ReactNode } from "react";
import { Link, useRoute } from "wouter";
import { serverUrl } from "@/live/address";
import iconUrl from "@/ui/icon.svg";
import { NoticeStrip } from "@/ui/notices";
import styles from "@/ui/shell.module.css";
import { useTheme } from "@/ui/theme";
import { Tooltip } from "@/ui/tooltip";
import { TopBar } from "@/ui/top-bar";

/** The frame of the app around `children`. */
export function Shell({ children }: { children: ReactNode }) {
  return (
    <div className={styles.shell}>
      <Rail />
      <div className={styles.column}>
        <TopBar />
        <NoticeStrip />
        <main className={styles.main}>{children}</main>
      </div>
    </div>
  );
}

function Rail() {
  const [theme, toggleTheme] = useTheme();
  const other = theme === "dark" ? "light" : "dark";
  return (
    <nav className={styles.rail} aria-label="Pages">
      <img className={styles.logo} src={iconUrl} alt="Understudy" width={28} height={28} />
      <PageLink to="/" label="Chat Monitor" icon={<MessagesSquare size={20} aria-hidden />} />
      <PageLink to="/overlays" label="Overlays" icon={<Layers size={20} aria-hidden />} />
      <PageLink to="/channels" label="Channels" icon={<Radio size={20} aria-hidden />} />
      <Tooltip text="Test client" side="right">
        <a className={styles.item} href={serverUrl("try").href}>
          <TerminalSquare size={20} aria-hidden />
          <span className="sr-only">Test client</span>
        </a>
      </Tooltip>
      <Tooltip text={`Switch to ${other}`} side="right">
        <button type="button" className={`${styles.item} ${styles.last}`} onClick={toggleTheme}>
          {theme === "dark" ? <Sun size={20} aria-hidden /> : <Moon size={20} aria-hidden />}
          <span className="sr-only">Switch to {other}</span>
        </button>
      </Tooltip>
    </nav>
  );
}

function PageLink({ to, label, icon }: { to: string; label: string; icon: ReactNode }) {
  const [isHere] = useRoute(to);
  return (
    <Tooltip text={label} side="right">
      <Link className={styles.item} href={to} aria-current={isHere ? "page" : undefined}>
        {icon}
        <span className="sr-only">{label}</span>
      </Link>
    </Tooltip>
  );
}
