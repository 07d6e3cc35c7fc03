// What a page of the server's own would find in a browser, for the blocks that run in node.
const origin = process.env.ORIGIN;
globalThis.location = new URL("/", origin);
const fetchAbsolute = globalThis.fetch;
globalThis.fetch = (where, ...more) =>
  fetchAbsolute(typeof where === "string" ? new URL(where, origin) : where, ...more);
