/** Entry of the chat overlay: connects the live feed to the page inside OBS. */
import "@/overlay/chat.css";
import { connect } from "@/overlay/feed";
import { readOptions } from "@/overlay/options";
import { sampleEvents } from "@/overlay/sample";
import { OverlayView } from "@/overlay/view";
import { Visibility } from "@/overlay/visibility";

function start(root: HTMLElement): void {
  const options = readOptions(location.search);
  root.style.setProperty("--us-scale", String(options.scale));
  const view = new OverlayView(root, { ...options, cohost: "Understudy" });
  const visibility = new Visibility(root);
  if (options.sample) {
    for (const event of sampleEvents(Date.now())) view.apply(event);
    visibility.update("live");
    return;
  }
  connect("chat", options, visibility, (frame) => {
    if (frame.type === "snapshot") {
      view.options.cohost = frame.state.cohost;
      view.applySnapshot(frame.events, Date.now());
    } else if (frame.type === "events") {
      for (const event of frame.events) view.apply(event);
    }
  });
}

const root = document.getElementById("us-chat");
if (root) start(root);
