/** Watches a room of a danmu server, live and again. */
export * from "./account.ts";
export * from "./clock.ts";
export * from "./density.ts";
export * from "./http.ts";
export * from "./live.ts";
export * from "./model.ts";
export * from "./pace.ts";
export * from "./poll.ts";
export * from "./replay.ts";
export * from "./sender.ts";
export * from "./socket.ts";
export * from "./stream.ts";
export * from "./transport.ts";
