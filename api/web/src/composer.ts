/** One's own comment: text, colour, place, size; and what became of it. */
import { send, type Api, type Style } from "danmu-client";

import { h, icon } from "./dom.ts";
import { settings } from "./settings.ts";
import { cssColor, problemText, verdictText } from "./words.ts";

const TEXT_LEN_MAX = 1_024;
/** How long a verdict stays to be read. */
const VERDICT_MS = 6_000;
const COLORS: [number, string][] = [
  [0xffffff, "White"], [0xff4d4d, "Red"], [0xffb84d, "Orange"], [0xfff04d, "Yellow"],
  [0x66e066, "Green"], [0x4db8ff, "Blue"], [0xd98cff, "Purple"], [0x222222, "Black"],
];
const PLACES: [Style["mode"], string][] = [["scroll", "Scroll"], ["reverse", "Reverse"], ["top", "Top"], ["bottom", "Bottom"]];
const SIZES: [Style["size"], string][] = [["small", "Small"], ["normal", "Normal"], ["big", "Big"]];

export class Composer {
  readonly element: HTMLElement;
  readonly #text: HTMLInputElement;
  readonly #told = h("p", { class: "told", attributes: { role: "status" } });
  readonly #send: HTMLButtonElement;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly api: Api, private readonly room: string) {
    this.#text = h("input", {
      class: "comment-text", type: "text", maxLength: TEXT_LEN_MAX, autocomplete: "off", placeholder: "Say something…",
      enterKeyHint: "send", attributes: { "aria-label": "Your comment" },
    });
    this.#send = h("button", { class: "primary send", type: "submit" }, icon("send"), h("span", {}, "Send"));
    const form = h(
      "form",
      {
        class: "composer",
        onsubmit: (event) => {
          event.preventDefault();
          void this.#submit();
        },
      },
      styles(), this.#text, this.#send,
    );
    this.element = h("div", { class: "composing" }, form, this.#told);
  }

  focus(): void {
    this.#text.focus();
  }

  async #submit(): Promise<void> {
    const text = this.#text.value;
    if (text.trim() === "") return;
    this.#send.disabled = true;
    this.#tell("Sending…", "");
    try {
      const event = settings.signed({ kind: "comment" as const, text, style: { ...settings.all.style } });
      const verdict = await send(this.api, this.room, event, () => {
        this.#text.value = "";
        this.#send.disabled = false;
        this.#tell("Accepted…", "");
      });
      this.#tell(verdictText(verdict), verdict.verdict === "refused" ? "bad" : "good");
    } catch (error) {
      this.#tell(problemText(error), "bad");
    }
    this.#send.disabled = false;
  }

  #tell(text: string, tone: "" | "good" | "bad"): void {
    clearTimeout(this.#timer);
    this.#told.textContent = text;
    this.#told.className = `told ${tone}`;
    if (tone !== "") this.#timer = setTimeout(() => this.#told.replaceChildren(), VERDICT_MS);
  }
}

/** The choice of colour, place and size, in a box that opens. */
function styles(): HTMLElement {
  const box = h(
    "div", { class: "popover" },
    choice("Colour", "color", COLORS.map(([color, name]) => [String(color), name] as const), String(settings.all.style.color), (color) =>
      restyle({ color: Number(color) }), "swatches"),
    choice("Place", "mode", PLACES, settings.all.style.mode, (mode) => restyle({ mode })),
    choice("Size", "size", SIZES, settings.all.style.size, (size) => restyle({ size })),
  );
  const summary = h(
    "summary", { class: "icon-button", title: "Colour and place", attributes: { "aria-label": "Colour and place" } },
    icon("style"), h("i", { class: "ink", attributes: { "aria-hidden": "true" } }),
  );
  const details = h("details", { class: "menu up" }, summary, box);
  const ink = () => details.style.setProperty("--ink", cssColor(settings.all.style.color));
  ink();
  settings.addEventListener("change", ink);
  return details;
}

function restyle(change: Partial<Style>): void {
  settings.set({ style: { ...settings.all.style, ...change } });
}

/** A few things of which one is chosen. */
export function choice<T extends string>(
  legend: string, name: string, options: readonly (readonly [T, string])[], chosen: T, choose: (value: T) => void, className = "segments",
): HTMLElement {
  const inputs = options.map(([value, label]) =>
    h(
      "label", className === "swatches" ? { variables: { color: cssColor(Number(value)) }, title: label } : {},
      h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => choose(value), attributes: { "aria-label": label } }),
      h("span", {}, className === "swatches" ? "" : label),
    ));
  return h("fieldset", { class: className }, h("legend", {}, legend), h("div", {}, ...inputs));
}
