/** What lies over the stage for a moment: hearts that rise, gifts and their combos. */
import type { Gift } from "danmu-client";

import { h } from "./dom.ts";
import { giftArt } from "./words.ts";

const HEARTS = ["❤", "💛", "💙", "💜", "🧡"];
/** The most hearts at once, and of one event. */
const [HEARTS_MAX, HEARTS_OF_EVENT_MAX] = [40, 6];
/** How many gifts are shown at once, and how long. */
const BANNERS_MAX = 3;
const BANNER_MS = 4_500;

const wantsStillness = matchMedia("(prefers-reduced-motion: reduce)");

/** Hearts that rise from the corner of the stage: more for more likes, but not one for each. */
export class Hearts {
  readonly element = h("div", { class: "hearts", attributes: { "aria-hidden": "true" } });

  burst(likes: number): void {
    if (wantsStillness.matches || document.hidden) return;
    const room = HEARTS_MAX - this.element.childElementCount;
    const count = Math.min(room, HEARTS_OF_EVENT_MAX, Math.ceil(Math.log2(likes + 1)));
    for (let n = 0; n < count; n += 1) this.element.append(heart());
  }
}

function heart(): HTMLElement {
  const random = (from: number, to: number) => from + Math.random() * (to - from);
  const element = h(
    "span",
    {
      class: "heart",
      variables: {
        x: `${random(-3, 3)}rem`, turn: `${random(-30, 30)}deg`, size: `${random(0.9, 1.7)}rem`, delay: `${random(0, 0.4)}s`,
      },
      onanimationend: () => element.remove(),
    },
    HEARTS[Math.floor(Math.random() * HEARTS.length)],
  );
  return element;
}

interface Banner {
  element: HTMLElement;
  count: number;
  counter: HTMLElement;
  timer: ReturnType<typeof setTimeout>;
}

/** Gifts as banners: those of one combo count up in one. */
export class Gifts {
  readonly element = h("div", { class: "banners", attributes: { "aria-hidden": "true" } });
  readonly #banners = new Map<string, Banner>();

  show(gift: Gift): void {
    const key = `${gift.user?.id}/${gift.gift}/${gift.combo ?? gift.id}`;
    const known = this.#banners.get(key);
    const banner = known ?? this.#make(key, gift);
    banner.count = Math.max(banner.count + gift.count, gift.combo_total ?? 0);
    banner.counter.textContent = `×${banner.count}`;
    banner.counter.classList.remove("bump");
    void banner.counter.offsetWidth;
    banner.counter.classList.add("bump");
    clearTimeout(banner.timer);
    banner.timer = setTimeout(() => this.#remove(key), BANNER_MS);
  }

  clear(): void {
    for (const key of [...this.#banners.keys()]) this.#remove(key);
  }

  #make(key: string, gift: Gift): Banner {
    while (this.#banners.size >= BANNERS_MAX) this.#remove(this.#banners.keys().next().value!);
    const counter = h("b", { class: "count" });
    const element = h(
      "div", { class: gift.unit_value >= 200 ? "banner dear" : "banner" },
      h("span", { class: "art" }, giftArt(gift.gift)),
      h("span", { class: "from" }, h("b", {}, gift.user?.name || "Somebody"), h("span", {}, `sent ${gift.name}`)),
      counter,
    );
    this.element.append(element);
    const banner: Banner = { element, counter, count: 0, timer: setTimeout(() => {}, 0) };
    this.#banners.set(key, banner);
    return banner;
  }

  #remove(key: string): void {
    const banner = this.#banners.get(key);
    if (!banner) return;
    clearTimeout(banner.timer);
    this.#banners.delete(key);
    banner.element.remove();
  }
}
