/** Where chat comes from, and the accounts that are logged in there. */
import { useTwitch, useTwitchLogin, useTwitchLogout } from "@/api/twitch";
import styles from "@/pages/channels/channels-page.module.css";
import { TwitchView } from "@/pages/channels/twitch-view";

/** The page at `/channels`. */
export default function ChannelsPage() {
  return (
    <div className={styles.page}>
      <TwitchPanel />
    </div>
  );
}

function TwitchPanel() {
  const { data: twitch, error } = useTwitch();
  const logIn = useTwitchLogin();
  const logOut = useTwitchLogout();
  if (error) return <p role="alert">{error.message}</p>;
  if (!twitch) return null;
  return (
    <TwitchView
      twitch={twitch}
      isBusy={logIn.isPending || logOut.isPending}
      onLogIn={() => logIn.mutate()}
      onLogOut={() => logOut.mutate()}
    />
  );
}
