/** Asks for the token when the server wants one. */
import { type SubmitEvent, useState } from "react";
import { call } from "@/api/client";
import { keepToken, tokenFrom } from "@/api/token";
import styles from "@/pages/sign-in/sign-in-page.module.css";
import { Button } from "@/ui/button";

/** `onSignedIn` is called once the server has accepted the token. */
export function SignInPage({ onSignedIn }: { onSignedIn: () => void }) {
  const [text, setText] = useState("");
  const [problem, setProblem] = useState("");
  const [isChecking, setIsChecking] = useState(false);

  const signIn = async (event: SubmitEvent) => {
    event.preventDefault();
    const token = tokenFrom(text);
    if (!token) {
      setProblem("There is no token in this text: paste the whole owner link.");
      return;
    }
    keepToken(token);
    setIsChecking(true);
    try {
      await call("GET", "api/v1/status");
      onSignedIn();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      setIsChecking(false);
    }
  };

  return (
    <main className={styles.page}>
      <form className={styles.card} onSubmit={(event) => void signIn(event)}>
        <h1>This Understudy asks for a token</h1>
        <p>
          Paste the owner link that <code>understudy serve</code> printed, or a token made with{" "}
          <code>understudy token</code>. It is kept until you close this tab.
        </p>
        <label htmlFor="token">Owner link or token</label>
        <input
          id="token"
          type="password"
          autoComplete="off"
          spellCheck={false}
          value={text}
          onChange={(event) => setText(event.target.value)}
          aria-describedby="token-problem"
          aria-invalid={problem !== ""}
        />
        <p id="token-problem" className={styles.problem} role="alert">
          {problem}
        </p>
        <Button tone="primary" type="submit" disabled={isChecking || text.trim() === ""}>
          Continue
        </Button>
      </form>
    </main>
  );
}
