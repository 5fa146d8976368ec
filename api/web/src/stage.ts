/**
 * The stage: a picture, or a backdrop where there is none, and the comments that fly over it.
 *
 * Comments fly by the stage's own time, which stands while a replay is paused; how fast a replay runs
 * decides how many come, not how fast they cross. Lanes and collisions are the `danmaku` library's; what
 * a comment looks like is drawn here, once, into a canvas that is blanked when moderation hides it.
 */
import Danmaku from "danmaku";
import type { Comment } from "danmu-client";

import { h } from "./dom.ts";
import { stageHueOf } from "./words.ts";

/** How long a comment takes to cross. */
export const FLIGHT_MS = 7_500;
/** The size of normal text, as a share of the stage's height, and its bounds in pixels. */
const FONT_SHARE = 1 / 21;
const [FONT_PX_MIN, FONT_PX_MAX] = [16, 32];
const SIZES = { small: 0.75, normal: 1, big: 1.45 } as const;
const MODES = { scroll: "rtl", reverse: "ltr", top: "top", bottom: "bottom" } as const;
const FONT = 'system-ui, "Noto Sans CJK JP", "Noto Sans", sans-serif';
/** How many comments that have passed the library may keep. */
const PASSED_MAX = 256;
/** The longest line that is drawn, in characters, and the most lines. */
const [LINE_LEN_MAX, LINES_MAX] = [120, 12];

/** What of the library's inside is needed: it keeps every comment that it was ever given. */
interface Inside {
  comments: unknown[];
  _: { position: number };
}

/** The stage's time, in seconds, as the library reads it: a medium that plays at one speed. */
class StageTime extends EventTarget {
  readonly playbackRate = 1;
  #base = 0;
  #since: number | undefined = performance.now();

  get currentTime(): number {
    return this.#since === undefined ? this.#base : this.#base + (performance.now() - this.#since) / 1_000;
  }

  get paused(): boolean {
    return this.#since === undefined;
  }

  set(playing: boolean): void {
    if (playing !== this.paused) return;
    this.#base = this.currentTime;
    this.#since = playing ? performance.now() : undefined;
    this.dispatchEvent(new Event(playing ? "play" : "pause"));
  }
}

export class Stage {
  readonly element: HTMLElement;
  /** What lies over the comments: banners, hearts. */
  readonly overlay = h("div", { class: "overlay" });
  readonly #flight = h("div", { class: "flight", attributes: { "aria-hidden": "true" } });
  readonly #picture = h("div", { class: "picture" });
  readonly #time = new StageTime();
  readonly #danmaku: Danmaku;
  readonly #sizes: ResizeObserver;
  /** The canvases of the comments that fly, by seq. */
  readonly #flying = new Map<number, { canvas: HTMLCanvasElement; until: number }>();

  /** A stage at the end of `place`, which must be in the document: the library measures it. */
  constructor(place: HTMLElement, room: string, label: string) {
    this.element = h(
      "section",
      { class: "stage", attributes: { "aria-label": label }, variables: { hue: String(stageHueOf(room)) } },
      this.#picture, this.#flight, this.overlay,
    );
    this.showBackdrop();
    place.append(this.element);
    this.#danmaku = new Danmaku({
      container: this.#flight,
      media: this.#time as unknown as HTMLMediaElement,
      engine: "canvas",
    });
    this.#sizes = new ResizeObserver(() => this.#resize());
    this.#sizes.observe(this.#flight);
  }

  /** The comments that are on their way, for whoever asks. */
  get flying(): number[] {
    const now = this.#time.currentTime;
    return [...this.#flying].filter(([, { until }]) => until > now).map(([seq]) => seq);
  }

  showBackdrop(): void {
    const lights = [1, 2, 3, 4].map((n) => h("i", { class: `light light-${n}` }));
    this.#picture.replaceChildren(h("div", { class: "backdrop", attributes: { "aria-hidden": "true" } }, ...lights));
  }

  showVideo(video: HTMLVideoElement): void {
    this.#picture.replaceChildren(video);
  }

  /** Lets a comment fly that has been on its way for `age_ms`. */
  fly(comment: Comment, options: { isOwn?: boolean; age_ms?: number } = {}): void {
    const { isOwn = false, age_ms = 0 } = options;
    if (age_ms >= FLIGHT_MS || this.#flight.offsetWidth === 0) return;
    this.#forgetPassed();
    const time = this.#time.currentTime - age_ms / 1_000;
    this.#danmaku.emit({
      time,
      mode: MODES[comment.style.mode],
      render: () => {
        const canvas = draw(comment, this.#fontPx * SIZES[comment.style.size], isOwn);
        this.#flying.set(comment.seq, { canvas, until: time + FLIGHT_MS / 1_000 });
        return canvas;
      },
    });
  }

  /** Takes a comment away that flies. */
  hide(seq: number): void {
    const flying = this.#flying.get(seq);
    const context = flying?.canvas.getContext("2d");
    context?.reset();
    this.#flying.delete(seq);
  }

  clear(): void {
    this.#flying.clear();
    (this.#danmaku as unknown as Inside).comments.length = 0;
    this.#time.dispatchEvent(new Event("seeking"));
  }

  /** Draws once while the comments stand. */
  redraw(): void {
    if (!this.#time.paused) return;
    this.#time.dispatchEvent(new Event("play"));
    const stand = () => this.#time.paused && this.#time.dispatchEvent(new Event("pause"));
    requestAnimationFrame(() => requestAnimationFrame(stand));
  }

  /** Whether the comments move. */
  set playing(playing: boolean) {
    this.#time.set(playing);
  }

  destroy(): void {
    this.#sizes.disconnect();
    this.#danmaku.destroy();
  }

  get #fontPx(): number {
    return Math.min(FONT_PX_MAX, Math.max(FONT_PX_MIN, this.#flight.offsetHeight * FONT_SHARE));
  }

  #resize(): void {
    if (this.#flight.offsetWidth === 0) return;
    this.#danmaku.resize();
    this.#danmaku.speed = this.#flight.offsetWidth / (FLIGHT_MS / 1_000);
  }

  #forgetPassed(): void {
    const inside = this.#danmaku as unknown as Inside;
    if (inside._.position < PASSED_MAX) return;
    inside.comments.splice(0, inside._.position);
    inside._.position = 0;
    const now = this.#time.currentTime;
    for (const [seq, { until }] of this.#flying) if (until <= now) this.#flying.delete(seq);
  }
}

/** A comment as it flies: outlined text, one line under the other, one's own in a frame. */
function draw(comment: Comment, fontPx: number, isOwn: boolean): HTMLCanvasElement {
  const lines = comment.text.split("\n", LINES_MAX).map((line) => line.replaceAll("\t", "    ").slice(0, LINE_LEN_MAX));
  const [font, lineHeight, outline] = [`600 ${fontPx}px ${FONT}`, Math.ceil(fontPx * 1.3), Math.max(2, fontPx / 9)];
  const padding = isOwn ? Math.ceil(fontPx * 0.35) : Math.ceil(outline);
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d")!;
  context.font = font;
  const width = Math.ceil(Math.max(...lines.map((line) => context.measureText(line).width))) + 2 * padding;
  const height = lineHeight * lines.length + (isOwn ? 4 : 0);
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.ceil(width * scale));
  canvas.height = Math.ceil(height * scale);
  context.scale(scale, scale);
  const [fill, edge] = colors(comment.style.color);
  if (isOwn) {
    context.lineWidth = 2;
    context.strokeStyle = fill;
    context.fillStyle = "rgb(0 0 0 / 35%)";
    context.beginPath();
    context.roundRect(1, 1, width - 2, height - 2, 8);
    context.fill();
    context.stroke();
  }
  Object.assign(context, { font, textBaseline: "middle", lineJoin: "round", lineWidth: outline, strokeStyle: edge, fillStyle: fill });
  lines.forEach((line, n) => {
    const y = (n + 0.5) * lineHeight + (isOwn ? 2 : 0);
    context.strokeText(line, padding, y);
    context.fillText(line, padding, y);
  });
  // The library takes these for pixels of the page, whatever the screen's density is.
  Object.defineProperty(canvas, "width", { value: width });
  Object.defineProperty(canvas, "height", { value: height });
  return canvas;
}

/** The colour of a text and of its edge, which must be seen before any picture. */
function colors(color: number): [string, string] {
  const [red, green, blue] = [color >> 16, (color >> 8) & 0xff, color & 0xff];
  const isDark = 0.3 * red + 0.59 * green + 0.11 * blue < 70;
  return [`rgb(${red} ${green} ${blue})`, isDark ? "rgb(255 255 255 / 75%)" : "rgb(0 0 0 / 70%)"];
}
