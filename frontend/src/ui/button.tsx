/** The app's one push button. */
import type { ButtonHTMLAttributes } from "react";
import styles from "@/ui/button.module.css";

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** `primary` is the one next action; `danger` is for Mute only. */
  tone?: "plain" | "primary" | "danger";
  size?: "normal" | "large";
}

/** A button with an optional icon before its label. */
export function Button({ tone = "plain", size = "normal", className, ...rest }: ButtonProps) {
  const names = [styles.button, styles[tone], styles[size], className];
  return <button type="button" className={names.filter(Boolean).join(" ")} {...rest} />;
}
