/**
 * Elements, made of plain values.
 *
 * Whatever comes from a server becomes a text node or a property here, never markup: nothing in this
 * page parses HTML.
 */

type Child = Node | string | number | false | null | undefined;
type Listeners = { [K in keyof HTMLElementEventMap as `on${K}`]?: (event: HTMLElementEventMap[K]) => void };
type Properties = Listeners & {
  class?: string;
  /** Attributes, for what is no property: `aria-…`, `role`, `for`. */
  attributes?: Record<string, string | boolean | number | undefined>;
  /** Custom properties of its style. */
  variables?: Record<string, string>;
  [property: string]: unknown;
};

/** An element of that name with properties and what is inside. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (key === "class") element.className = value as string;
    else if (key === "attributes") setAttributes(element, value as Record<string, string>);
    else if (key === "variables") setVariables(element, value as Record<string, string>);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value as EventListener);
    else Reflect.set(element, key, value);
  }
  fill(element, ...children);
  return element;
}

/** Puts these in the place of what was inside. */
export function fill(element: Element, ...children: Child[]): void {
  const kept = children.filter((child) => child !== false && child !== null && child !== undefined);
  element.replaceChildren(...kept.map((child) => (typeof child === "number" ? String(child) : child)));
}

/** Sets attributes; those that are undefined or false go. */
export function setAttributes(
  element: Element,
  attributes: Record<string, string | boolean | number | undefined>,
): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

function setVariables(element: HTMLElement, variables: Record<string, string>): void {
  for (const [name, value] of Object.entries(variables)) element.style.setProperty(`--${name}`, value);
}

const SVG = "http://www.w3.org/2000/svg";

/** The outlines of the icons, in a square of 24. */
const ICONS = {
  play: "M8 5.5v13l11-6.5z",
  pause: "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z",
  heart: "M12 20.5 4.4 13a5 5 0 0 1 7-7.1l.6.6.6-.6a5 5 0 0 1 7 7.1z",
  send: "M4 4.5 21 12 4 19.5 6.3 13 14 12 6.3 11z",
  people: "M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Zm0 1.6c-3.6 0-6.5 1.9-6.5 4.4v1.5h13v-1.5c0-2.5-2.9-4.4-6.5-4.4Zm7.2-1.8a3 3 0 0 0 0-6 5 5 0 0 1 0 6Zm.9 1.8c1 .9 1.6 2 1.6 3.4V19H22v-1.2c0-2.2-2.1-4.1-4.9-4.7Z",
  sun: "M12 7.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM11 2h2v3h-2zM11 19h2v3h-2zM2 11h3v2H2zM19 11h3v2h-3zM4.2 5.6l1.4-1.4 2.1 2.1-1.4 1.4zM16.3 17.7l1.4-1.4 2.1 2.1-1.4 1.4zM4.2 18.4l2.1-2.1 1.4 1.4-2.1 2.1zM16.3 6.3l2.1-2.1 1.4 1.4-2.1 2.1z",
  moon: "M20 14.6A8.5 8.5 0 0 1 9.4 4 8.5 8.5 0 1 0 20 14.6Z",
  gear: "M13.9 2.5h-3.8l-.5 2.6-1.6.7-2.2-1.5-2.7 2.7 1.5 2.2-.7 1.6-2.4.4v3.7l2.5.5.7 1.6-1.5 2.2 2.7 2.7 2.1-1.5 1.7.7.4 2.4h3.8l.5-2.5 1.6-.7 2.2 1.5 2.6-2.7-1.4-2.1.7-1.7 2.4-.4v-3.8l-2.5-.5-.7-1.6 1.5-2.2-2.7-2.6-2.1 1.4-1.7-.7ZM12 8.6a3.4 3.4 0 1 1 0 6.8 3.4 3.4 0 0 1 0-6.8Z",
  down: "M12 16.5 5 9.5 6.6 8l5.4 5.4L17.4 8 19 9.5z",
  style: "M4 17.5 10.2 4h3.6L20 17.5h-3.2l-1.2-2.9H8.4l-1.2 2.9ZM9.5 12h5L12 6.2ZM3 20h18v1.8H3z",
  pin: "m14.5 3 6.5 6.5-1.6 1.4-.9-.4-3.3 3.3.2 3.4-1.6 1.6-3.7-3.7L5 20.2 3.8 19l5.1-5.1-3.7-3.7 1.6-1.6 3.4.2 3.3-3.3-.4-.9z",
  shield: "M12 2.5 4 5.6v5.7c0 5 3.4 9 8 10.2 4.6-1.2 8-5.2 8-10.2V5.6z",
  save: "M11 3h2v9.2l3.3-3.3 1.4 1.4L12 16l-5.7-5.7 1.4-1.4 3.3 3.3zM4 18h16v2.5H4z",
  film: "M3 5h18v14H3zm2 2v2h2V7zm0 4v2h2v-2zm0 4v2h2v-2zM17 7v2h2V7zm0 4v2h2v-2zm0 4v2h2v-2zM9 7v10h6V7z",
  back: "M15.5 4.5 8 12l7.5 7.5-1.6 1.5-9-9 9-9z",
} as const;

/** An icon; what it means is told by the label of the button that it is in. */
export function icon(name: keyof typeof ICONS): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  setAttributes(svg, { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" });
  const path = document.createElementNS(SVG, "path");
  setAttributes(path, { d: ICONS[name], "fill-rule": "evenodd" });
  svg.append(path);
  return svg;
}

/** An SVG element. */
export function svg(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, name);
  setAttributes(element, attributes);
  return element;
}
