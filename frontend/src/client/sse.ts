/**
 * Server-sent events out of text, however the network cuts it.
 *
 * Owns the part of https://html.spec.whatwg.org/multipage/server-sent-events.html that the server
 * uses: `id` and `data` fields, comments, and lines that end in LF or CRLF.
 */

/** One event: its id, empty when it has none, and its data. */
export interface ServerEvent {
  id: string;
  data: string;
}

/** The events of one connection. What is cut off at its end is no event. */
export class EventParser {
  private rest = "";
  private id = "";
  private data: string[] = [];

  /** The events that `chunk` completes. */
  feed(chunk: string): ServerEvent[] {
    const lines = (this.rest + chunk).split("\n");
    this.rest = lines.pop() ?? "";
    const events: ServerEvent[] = [];
    for (const line of lines) {
      const text = line.endsWith("\r") ? line.slice(0, -1) : line;
      if (text) {
        this.take(text);
      } else if (this.data.length > 0) {
        events.push({ id: this.id, data: this.data.join("\n") });
        this.data = [];
      }
    }
    return events;
  }

  private take(line: string): void {
    const [name, ...values] = line.split(":");
    const value = values.join(":").replace(/^ /, "");
    if (name === "data") this.data.push(value);
    else if (name === "id") this.id = value;
  }
}
