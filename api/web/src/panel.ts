/** The panel beside the stage: a few tabs of which one is seen. */
import { fill, h, setAttributes } from "./dom.ts";

export interface Tab {
  name: string;
  content: HTMLElement;
  isHidden?: () => boolean;
}

export class Panel {
  readonly element: HTMLElement;
  readonly #bar: HTMLElement;
  readonly #tabs: { tab: Tab; button: HTMLButtonElement }[];

  constructor(label: string, tabs: Tab[], readonly top?: HTMLElement) {
    this.#bar = h("div", { class: "tabs", attributes: { role: "tablist", "aria-label": label }, onkeydown: (event) => this.#move(event) });
    this.#tabs = tabs.map((tab, n) => {
      const id = `tab-${label.toLowerCase().replaceAll(/\W+/g, "-")}-${n}`;
      const button = h("button", {
        id, type: "button", attributes: { role: "tab", "aria-controls": `${id}-panel` }, onclick: () => this.#select(n),
      }, tab.name);
      tab.content.id = `${id}-panel`;
      setAttributes(tab.content, { role: "tabpanel", "aria-labelledby": id });
      return { tab, button };
    });
    this.element = h("aside", { class: "side", attributes: { "aria-label": label } });
    fill(this.#bar, ...this.#tabs.map(({ button }) => button));
    fill(this.element, top, this.#bar, ...tabs.map(({ content }) => content));
    this.refresh();
    this.#select(0);
  }

  /** Shows and hides tabs anew. */
  refresh(): void {
    for (const { tab, button } of this.#tabs) button.hidden = tab.isHidden?.() ?? false;
    const chosen = this.#tabs.findIndex(({ tab }) => !tab.content.hidden);
    if (this.#tabs[chosen]?.button.hidden) this.#select(0);
  }

  #select(chosen: number): void {
    this.#tabs.forEach(({ tab, button }, n) => {
      tab.content.hidden = n !== chosen;
      setAttributes(button, { "aria-selected": String(n === chosen), tabindex: n === chosen ? 0 : -1 });
    });
  }

  #move(event: KeyboardEvent): void {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const seen = this.#tabs.filter(({ button }) => !button.hidden);
    const at = seen.findIndex(({ button }) => button === document.activeElement);
    if (step === 0 || at < 0) return;
    const next = seen[(at + step + seen.length) % seen.length]!;
    this.#select(this.#tabs.indexOf(next));
    next.button.focus();
  }
}
