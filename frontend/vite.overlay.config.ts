/** The overlays, built after the app into the same folder, for the old engine inside OBS. */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { OUT_DIR, shared } from "./vite.shared.ts";

const page = (name: string) => fileURLToPath(new URL(`./overlay/${name}.html`, import.meta.url));

export default defineConfig({
  ...shared,
  build: {
    outDir: OUT_DIR,
    emptyOutDir: false,
    target: "chrome103",
    cssTarget: "chrome103",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { "overlay-chat": page("chat"), "overlay-mood": page("mood") },
      output: { chunkFileNames: "assets/overlay-[name]-[hash].js" },
    },
  },
});
