/** The connection of an overlay to its live feed. */
import { LiveSocket } from "@/client/live-socket";
import type { LiveFrame } from "@/client/live-events";
import { socketUrl } from "@/live/address";
import type { SharedOptions } from "@/overlay/options";
import type { Visibility } from "@/overlay/visibility";

/** Connects to the feed of the overlay `name` and hands on what comes, for as long as the page. */
export function connect(
  name: string,
  options: SharedOptions,
  visibility: Visibility,
  onFrame: (frame: LiveFrame) => void,
): void {
  const address = () => {
    const url = socketUrl(`../ws/overlay/${name}`);
    if (options.key) url.searchParams.set("key", options.key);
    if (options.channel) url.searchParams.set("channel", options.channel);
    return url;
  };
  new LiveSocket({ address, onFrame, onState: (state) => visibility.update(state) }).start();
}
