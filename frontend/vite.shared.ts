/** What both builds (the app and the overlays) and the tests have in common. */
import { fileURLToPath } from "node:url";
import type { Plugin, UserConfig } from "vite";

const SERVER = process.env.UNDERSTUDY_URL ?? "http://127.0.0.1:8000";

/** In development, `/overlay/chat` and the like are the pages the server serves under that name. */
function overlayPages(): Plugin {
  return {
    name: "understudy-overlay-pages",
    configureServer(server) {
      server.middlewares.use((request, _response, next) => {
        request.url = request.url?.replace(/^\/overlay\/(\w+)(?=$|\?)/, "/overlay/$1.html");
        next();
      });
    },
  };
}

export const shared = {
  // Relative addresses let the app work under a reverse-proxy prefix.
  base: "./",
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  plugins: [overlayPages()],
  server: {
    proxy: {
      "/api": SERVER,
      "/personas": SERVER,
      "/chat": SERVER,
      "/try": SERVER,
      "/ws": { target: SERVER, ws: true },
    },
  },
} satisfies UserConfig;

export const OUT_DIR = "../src/understudy/web/dist";
