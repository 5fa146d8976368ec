/** How the room is connected, said in a word, with the rest where one asks for it. */
import type { Connection, TransportName } from "danmu-client";

import { fill, h } from "./dom.ts";

const NAMES: Record<TransportName, string> = { socket: "WebSocket", stream: "event stream", poll: "polling" };

export class ConnectionState {
  readonly element = h("div", { class: "connection", attributes: { role: "status" } });
  readonly #dot = h("i", { class: "dot" });
  readonly #word = h("span", { class: "word" });
  readonly #withheld = h("span", { class: "withheld", hidden: true });
  readonly #again: HTMLButtonElement;

  constructor(again: () => void) {
    this.#again = h("button", { type: "button", class: "link", hidden: true, onclick: again }, "Connect now");
    fill(this.element, this.#dot, this.#word, this.#withheld, this.#again);
  }

  show(connection: Connection): void {
    const { phase, transport, hasFallenBack } = connection;
    this.element.dataset.phase = phase;
    this.element.dataset.transport = transport;
    this.element.dataset.fallenBack = String(hasFallenBack);
    this.#dot.className = `dot ${phase === "open" ? (hasFallenBack ? "fair" : "good") : phase === "forbidden" ? "bad" : "busy"}`;
    this.#word.textContent = text(connection);
    this.#again.hidden = !(hasFallenBack || phase === "waiting" || phase === "forbidden");
  }

  /** How many events have been withheld. */
  set withheld(count: number) {
    this.#withheld.hidden = count === 0;
    this.#withheld.textContent = `${count} withheld`;
  }
}

function text({ phase, transport, hasFallenBack, retryAt, problem }: Connection): string {
  switch (phase) {
    case "connecting":
      return hasFallenBack && transport !== "poll" ? `Trying ${NAMES[transport]} again…` : `Connecting by ${NAMES[transport]}…`;
    case "open":
      return hasFallenBack && transport === "poll"
        ? "Long connections fail: polling for now"
        : `Live by ${NAMES[transport]}`;
    case "waiting": {
      const seconds = Math.max(1, Math.ceil(((retryAt ?? 0) - Date.now()) / 1_000));
      return `${problem?.kind === "unreachable" ? "No answer" : "Lost"}: again in ${seconds} s`;
    }
    case "forbidden":
      return "A token is needed to watch";
    case "stopped":
      return "Not connected";
  }
}
