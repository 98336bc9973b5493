/**
 * Understudy's client for browsers and Node, without dependencies: answers streamed by `fetch` and
 * taken up again after a lost connection, and the live feed over a WebSocket.
 *
 * The web app is built on it. It imports nothing of the app, so the folder can be taken as it is.
 */
export { type AnswerOptions, streamAnswer } from "./answer.ts";
export {
  type Answer,
  type History,
  type HistoryMessage,
  type Session,
  UnderstudyClient,
} from "./client.ts";
export { ApiError, type ErrorKind, GoneError } from "./errors.ts";
export type * from "./live-events.ts";
export {
  LiveSocket,
  type LiveSocketOptions,
  type SocketState,
  type WebSocketLike,
} from "./live-socket.ts";
export type { StreamEvent, Usage } from "./reading.ts";
