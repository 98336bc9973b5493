/** The web app: `index.html` and its hashed assets. */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { OUT_DIR, shared } from "./vite.shared.ts";

export default defineConfig({
  ...shared,
  plugins: [...shared.plugins, react()],
  build: {
    outDir: OUT_DIR,
    emptyOutDir: true,
    target: "chrome111",
    assetsInlineLimit: 0,
  },
  test: {
    environment: "happy-dom",
    include: ["tests/**/*.test.{ts,tsx}"],
    restoreMocks: true,
  },
});
