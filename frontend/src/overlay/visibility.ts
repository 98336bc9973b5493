/**
 * Makes an overlay fail invisible: without a server it fades out and says nothing on stream.
 *
 * The page starts out hidden and is shown once the feed is live.
 */
import type { SocketState } from "@/client/live-socket";

/** Milliseconds without a server after which the overlay disappears. */
export const PATIENCE_MS = 5_000;

export class Visibility {
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** `element` gets the class `us-live` while it is to be seen. */
  constructor(private readonly element: HTMLElement) {}

  /** Notes the state of the connection. */
  update(state: SocketState): void {
    if (state === "live") {
      clearTimeout(this.timer);
      this.timer = undefined;
      this.element.classList.add("us-live");
      return;
    }
    this.timer ??= setTimeout(() => this.element.classList.remove("us-live"), PATIENCE_MS);
  }
}
