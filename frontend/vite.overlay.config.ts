/** The overlays, built after the app into the same folder, for the old engine inside OBS. */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { OUT_DIR, shared } from "./vite.shared.ts";

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
      input: { "overlay-chat": fileURLToPath(new URL("./overlay/chat.html", import.meta.url)) },
    },
  },
});
