/** Addresses of the server, relative to the page, so that a proxy's prefix does not matter. */

/** The address of the relative `path` seen from the folder of `base`, the page. */
export function serverUrl(path: string, base: string = document.baseURI): URL {
  return new URL(path, new URL("./", base));
}

/** The same with the WebSocket scheme and without the page's own query. */
export function socketUrl(path: string, base: string = document.baseURI): URL {
  const url = serverUrl(path, base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}
