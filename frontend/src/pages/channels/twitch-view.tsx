/** The Twitch account: who is logged in, what that allows, and the code of a login that waits. */
import { ExternalLink, LogIn, LogOut, X } from "lucide-react";
import type { PendingLogin, Twitch } from "@/api/twitch";
import styles from "@/pages/channels/channels-page.module.css";
import { Button } from "@/ui/button";

interface TwitchViewProps {
  twitch: Twitch;
  /** Whether a request to log in or out is on its way. */
  isBusy: boolean;
  onLogIn: () => void;
  onLogOut: () => void;
}

/** The panel of the Twitch account. */
export function TwitchView({ twitch, isBusy, onLogIn, onLogOut }: TwitchViewProps) {
  const { channels, pending, failure, problems } = twitch;
  return (
    <section className={styles.panel} aria-labelledby="twitch">
      <h1 id="twitch">Twitch</h1>
      <p className={styles.lead}>
        {channels.length > 0
          ? `The chat of ${channels.join(", ")} is read, which needs no account.`
          : "No chat is read: name your channel in twitch.channels and start again."}
      </p>
      {[...problems, failure].filter(Boolean).map((sentence) => (
        <p key={sentence} className={styles.problem} role="alert">
          {sentence}
        </p>
      ))}
      {!twitch.client_id_set ? (
        <NoApp />
      ) : pending ? (
        <Pending pending={pending} isBusy={isBusy} onCancel={onLogOut} />
      ) : (
        <Account twitch={twitch} isBusy={isBusy} onLogIn={onLogIn} onLogOut={onLogOut} />
      )}
    </section>
  );
}

function NoApp() {
  return (
    <p>
      To log in, register an application of the type <em>Public</em> at{" "}
      <Elsewhere href="https://dev.twitch.tv/console">dev.twitch.tv/console</Elsewhere>, set{" "}
      <code>twitch.client_id</code> to its id, and start Understudy again.
    </p>
  );
}

interface PendingProps {
  pending: PendingLogin;
  isBusy: boolean;
  onCancel: () => void;
}

function Pending({ pending, isBusy, onCancel }: PendingProps) {
  const minutes = Math.max(1, Math.round(pending.expires_in / 60));
  return (
    <div className={styles.pending}>
      <p>
        Open <ActivateLink address={pending.verification_uri} /> in a browser that is logged in to
        Twitch as the account to use, and enter this code:
      </p>
      <output className={styles.code} aria-label="Code">
        {pending.user_code}
      </output>
      <p className={styles.lead}>
        This page notices by itself when that is done. The code is good for {minutes}{" "}
        {minutes === 1 ? "minute" : "minutes"}.
      </p>
      <Button disabled={isBusy} onClick={onCancel}>
        <X size={16} aria-hidden />
        Cancel
      </Button>
    </div>
  );
}

/** The server passes on what Twitch says: only a web address becomes a link. */
function ActivateLink({ address }: { address: string }) {
  if (!/^https?:\/\//.test(address)) return <code>twitch.tv/activate</code>;
  return <Elsewhere href={address}>twitch.tv/activate</Elsewhere>;
}

function Account({ twitch, isBusy, onLogIn, onLogOut }: TwitchViewProps) {
  const { login, missing, send } = twitch;
  return (
    <>
      <p>
        {login ? (
          <>
            Logged in as <strong>{login}</strong>.{" "}
            {send
              ? "Replies are said in the chat too."
              : "Replies stay out of the chat: set twitch.send to say them there."}
          </>
        ) : (
          "Nobody is logged in."
        )}
      </p>
      {missing.length > 0 && (
        <div>
          <h2>{login ? "This login does not allow to" : "A login lets Understudy"}</h2>
          <ul className={styles.allows}>
            {missing.map(({ scope, allows }) => (
              <li key={scope}>
                {allows} <code>{scope}</code>
              </li>
            ))}
          </ul>
        </div>
      )}
      <div className={styles.actions}>
        <Button tone={login ? "plain" : "primary"} disabled={isBusy} onClick={onLogIn}>
          <LogIn size={16} aria-hidden />
          {login ? "Log in again" : "Log in to Twitch"}
        </Button>
        {login && (
          <Button disabled={isBusy} onClick={onLogOut}>
            <LogOut size={16} aria-hidden />
            Log out
          </Button>
        )}
      </div>
    </>
  );
}

function Elsewhere({ href, children }: { href: string; children: string }) {
  return (
    <a href={href} target="_blank" rel="noreferrer">
      {children} <ExternalLink size={13} aria-label="opens elsewhere" />
    </a>
  );
}
