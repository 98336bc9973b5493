// The peers of `ingest.py`, in Node: tmi.js alone, the seed's loop around it, and what it stores into.
//
//     node ingest_peer.cjs FOLDER parse LINES            lines a CPU second that become events
//     node ingest_peer.cjs FOLDER seed IRC_PORT MONGO_PORT COUNT
//     node ingest_peer.cjs FOLDER mongo                  a stand-in for MongoDB; prints its port
//
// FOLDER holds node_modules. The stand-in speaks OP_MSG, acknowledges every insert at once and keeps
// nothing: what the seed's loop reaches with it is more than it would with a database.

const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");

const [folder, mode, ...rest] = process.argv.slice(2);
const load = (name) => require(path.join(path.resolve(folder), "node_modules", name));
const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

function parse(file) {
  const tmi = load("tmi.js");
  const parser = load("tmi.js/lib/parser");
  const lines = fs.readFileSync(file, "utf8").split("\n");
  const client = new tmi.Client({ options: { skipUpdatingEmotesets: true } });
  client.log = { info() {}, warn() {}, error() {}, debug() {}, trace() {}, fatal() {} };
  let heard = 0;
  client.on("message", () => (heard += 1));
  const passes = 3;
  let started = 0;
  for (let pass = 0; pass <= passes; pass += 1) {
    if (pass === 1) started = cpuSeconds();
    for (const line of lines) client.handleMessage(parser.msg(line));
  }
  if (heard === 0) throw new Error("tmi.js heard nothing");
  console.log((passes * lines.length) / (cpuSeconds() - started));
  process.exit(0);
}

async function seed(ircPort, mongoPort, wanted) {
  const count = Number(wanted);
  const tmi = load("tmi.js");
  const { MongoClient } = load("mongodb");
  const mongo = new MongoClient(`mongodb://127.0.0.1:${mongoPort}/?directConnection=true`);
  await mongo.connect();
  const database = mongo.db("TwitchChat");
  const [messages, labels] = ["Messages", "MessageClassification"].map((n) => database.collection(n));
  const client = new tmi.Client({
    connection: { server: "127.0.0.1", port: Number(ircPort), secure: false, reconnect: false },
    channels: ["mara", "robo", "tidepool"],
    options: { skipUpdatingEmotesets: true, debug: false },
  });
  const log = fs.createWriteStream("/dev/null");
  let started, wall;
  let seen = 0;
  let stored = 0;
  const done = () => {
    stored += 1;
    if (stored < 2 * count) return;
    const cpu = cpuSeconds() - started;
    const seconds = (performance.now() - wall) / 1000;
    const rss = process.memoryUsage().rss / 1048576;
    console.log(JSON.stringify({ cpu, wall: seconds, rss_mb: rss }));
    process.exit(0);
  };
  const failed = (error) => {
    console.error(error);
    process.exit(1);
  };
  client.on("message", (channel, tags, text) => {
    if (seen === 0) [started, wall] = [cpuSeconds(), performance.now()];
    seen += 1;
    if (seen > count) return;
    const user = tags.username;
    log.write(`${channel} ${user}: ${text}\n`);
    messages.insertOne({ message: text, user, channel, timestamp: tags["tmi-sent-ts"] }).then(done, failed);
    labels.insertOne({ prompt: text, completion: "" }).then(done, failed);
  });
  await client.connect();
}

function mongo() {
  const { BSON } = load("bson");
  const hello = {
    ok: 1, isWritablePrimary: true, ismaster: true, helloOk: true, maxBsonObjectSize: 16777216,
    maxMessageSizeBytes: 48000000, maxWriteBatchSize: 100000, minWireVersion: 0, maxWireVersion: 25,
  };
  const answer = (request) => {
    const opcode = request.readInt32LE(12);
    const greets = opcode === 2004;
    const document = greets ? hello : { ok: 1, n: 1 };
    if (!greets) {
      const command = Object.keys(BSON.deserialize(request.subarray(21, 21 + request.readInt32LE(21))))[0];
      if (/^(hello|ismaster)$/i.test(command)) Object.assign(document, hello);
    }
    const body = BSON.serialize(document);
    const head = Buffer.alloc(greets ? 36 : 21);
    head.writeInt32LE(head.length + body.length, 0);
    head.writeInt32LE(request.readInt32LE(4), 8);
    head.writeInt32LE(greets ? 1 : 2013, 12);
    if (greets) head.writeInt32LE(1, 32);
    return Buffer.concat([head, body]);
  };
  const server = net.createServer((socket) => {
    let begun = Buffer.alloc(0);
    socket.on("error", () => socket.destroy());
    socket.on("data", (data) => {
      begun = begun.length ? Buffer.concat([begun, data]) : data;
      const answers = [];
      while (begun.length >= 4 && begun.length >= begun.readInt32LE(0)) {
        const size = begun.readInt32LE(0);
        answers.push(answer(begun.subarray(0, size)));
        begun = begun.subarray(size);
      }
      if (answers.length) socket.write(Buffer.concat(answers));
    });
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
}

({ parse, seed, mongo })[mode](...rest);
