/** Entry of the mood overlay: connects the live feed to the page inside OBS. */
import "@/overlay/mood.css";
import { connect } from "@/overlay/feed";
import { readMoodOptions } from "@/overlay/mood/options";
import { SAMPLE_EVERY_MS, sampleReading } from "@/overlay/mood/sample";
import { MoodView } from "@/overlay/mood/view";
import { Visibility } from "@/overlay/visibility";

function start(root: HTMLElement): void {
  const options = readMoodOptions(location.search);
  root.style.setProperty("--us-scale", String(options.scale));
  const view = new MoodView(root, { ...options, channel: options.sample ? "" : options.channel });
  const visibility = new Visibility(root);
  if (options.sample) {
    showSample(view, options.minutes);
    visibility.update("live");
    return;
  }
  connect("mood", options, visibility, (frame) => {
    if (frame.type === "snapshot") view.applySnapshot(frame.events);
    else if (frame.type === "events") view.apply(frame.events);
  });
}

function showSample(view: MoodView, minutes: number): void {
  const now = Date.now();
  const count = (minutes * 60_000) / SAMPLE_EVERY_MS;
  const past = Array.from({ length: count }, (_, n) => now - (count - n) * SAMPLE_EVERY_MS);
  view.applySnapshot(past.map(sampleReading));
  setInterval(() => view.apply([sampleReading(Date.now())]), SAMPLE_EVERY_MS);
}

const root = document.getElementById("us-mood");
if (root) start(root);
