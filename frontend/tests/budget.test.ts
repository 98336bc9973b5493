// @vitest-environment node
/** Builds the app and the overlays and weighs what a browser has to load. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";

const FRONTEND = fileURLToPath(new URL("..", import.meta.url));
const KB = 1000;

let folder: string;

function build(config: string): void {
  const vite = join(FRONTEND, "node_modules", "vite", "bin", "vite.js");
  const args = [vite, "build", "--config", config, "--outDir", folder, "--logLevel", "error"];
  const env = { ...process.env, NODE_ENV: "production" };
  execFileSync(process.execPath, [...args, "--emptyOutDir", "false"], { cwd: FRONTEND, env });
}

/** Bytes of all assets with this name, compressed. */
function weight(name: RegExp): number {
  const assets = join(folder, "assets");
  return readdirSync(assets)
    .filter((file) => name.test(file))
    .map((file) => gzipSync(readFileSync(join(assets, file)), { level: 9 }).length)
    .reduce((sum, bytes) => sum + bytes, 0);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "understudy-web-"));
  build("vite.config.ts");
  build("vite.overlay.config.ts");
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

test("the app's JavaScript fits into 170 kB", () => {
  const bytes = weight(/^(?!overlay-).*\.js$/);
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThanOrEqual(170 * KB);
});

test("the JavaScript of all overlays fits into 8 kB", () => {
  const bytes = weight(/^overlay-.*\.js$/);
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThanOrEqual(8 * KB);
});

test("all styles fit into 12 kB", () => {
  const bytes = weight(/\.css$/);
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThanOrEqual(12 * KB);
});

test("pages name their assets relative to themselves, so a prefix does not matter", () => {
  const app = readFileSync(join(folder, "index.html"), "utf8");
  const addresses = [...app.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url);
  expect(addresses.filter((url) => !url?.startsWith("./assets/"))).toEqual([]);
  for (const name of ["chat", "mood"]) {
    const overlay = readFileSync(join(folder, "overlay", `${name}.html`), "utf8");
    expect(overlay).toContain(`src="../assets/overlay-${name}-`);
    expect(overlay).not.toMatch(/(?:src|href)="\//);
  }
});

test("overlay styles stay within what the engine inside OBS knows", () => {
  const assets = join(folder, "assets");
  const names = readdirSync(assets).filter((file) => /^overlay-.*\.css$/.test(file));
  const css = names.map((file) => readFileSync(join(assets, file), "utf8")).join("");
  expect(css).toContain(".us-chat");
  expect(css).toContain(".us-glow");
  expect(css).not.toMatch(/oklch|color-mix|@property|&|box-shadow/);
});
