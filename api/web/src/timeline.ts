/** The time bar of a replay, with how much went on above it. */
import type { Manifest } from "danmu-client";

import { fill, h, setAttributes, svg } from "./dom.ts";
import { showTime } from "./words.ts";

/** How long a column of the heat strip is. */
const HEAT_MS = 10_000;
/** The strip's own units. */
const [WIDTH, HEIGHT] = [1_000, 40];
/** How much a like and a gift count beside a comment. */
const [LIKE_WEIGHT, GIFT_WEIGHT] = [0.1, 3];
/** How far the arrow keys go. */
const STEP_MS = 5_000;

export class Timeline {
  readonly element: HTMLElement;
  readonly #range: HTMLInputElement;
  readonly #now = h("span", { class: "now" });
  readonly #end = h("span", {});
  readonly #strip = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "heat", "aria-hidden": "true" });
  #isHeld = false;

  constructor(seek: (position: number) => void) {
    this.#range = h("input", {
      type: "range", class: "seek", step: String(STEP_MS), attributes: { "aria-label": "Position in the show" },
      oninput: () => {
        this.#isHeld = true;
        this.#label(Number(this.#range.value));
      },
      onchange: () => {
        this.#isHeld = false;
        seek(Number(this.#range.value));
      },
    });
    this.element = h("div", { class: "timeline" },
      h("div", { class: "track" }, this.#strip, this.#range), h("div", { class: "times" }, this.#now, this.#end));
  }

  show(manifest: Manifest, from: number, to: number): void {
    setAttributes(this.#range, { min: from, max: to });
    this.#range.step = "any";
    this.#end.textContent = showTime(to);
    const x = (ms: number) => ((ms - from) / Math.max(1, to - from)) * WIDTH;
    const weights = manifest.heat.map(({ from_ms, comments, likes, gifts }) => ({
      from_ms, weight: comments + likes * LIKE_WEIGHT + gifts * GIFT_WEIGHT,
    }));
    const most = Math.max(1, ...weights.map(({ weight }) => weight));
    const columns = weights.map(({ from_ms, weight }) => {
      const height = Math.max(2, Math.sqrt(weight / most) * HEIGHT);
      const width = Math.max(1, x(from_ms + HEAT_MS) - x(from_ms) - 1);
      return svg("rect", { x: x(from_ms), y: HEIGHT - height, width, height, rx: 1 });
    });
    const breaks = manifest.interruptions.filter(({ resumed }) => !resumed).map(({ show_ms }) =>
      svg("rect", { class: "break", x: x(show_ms), y: 0, width: 2, height: HEIGHT }));
    fill(this.#strip, ...columns, ...breaks);
  }

  set position(position: number) {
    if (this.#isHeld) return;
    this.#range.value = String(position);
    this.#label(position);
  }

  #label(position: number): void {
    const [min, max] = [Number(this.#range.min), Number(this.#range.max)];
    const share = Math.min(1, Math.max(0, (position - min) / Math.max(1, max - min)));
    this.element.style.setProperty("--share", `${share * 100}%`);
    this.#now.textContent = showTime(position);
    this.#range.setAttribute("aria-valuetext", `${showTime(position)} of ${showTime(max)}`);
  }
}
