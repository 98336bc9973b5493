/**
 * Asks one question and prints the answer as it comes.
 *
 * `node examples/typescript/chat.ts "How do I calm down?" [http://127.0.0.1:8000]` (Node 22.18 or
 * newer runs TypeScript as it is; any bundler does too).
 */
import { ApiError, UnderstudyClient } from "../../frontend/src/client/index.ts";

const [question = "How do I calm down?", address] = process.argv.slice(2);
const client = new UnderstudyClient(address);

try {
  const { session_id: session } = await client.start("example");
  for await (const event of client.stream(session, question)) {
    if (event.type === "token") process.stdout.write(event.text);
    else if (event.type === "failed") console.error(`\n${event.error}`);
    else console.log(event.interrupted && ` (${event.interrupted})`);
  }
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
