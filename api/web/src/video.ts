/** A recording of the show as the clock of its replay. */
import type { Clock } from "danmu-client";

import { h } from "./dom.ts";

export class VideoClock implements Clock {
  readonly element: HTMLVideoElement;

  /** Plays `url`, whose beginning is show time `zero`. */
  constructor(url: string, private readonly zero: number, failed: () => void) {
    this.element = h("video", { src: url, playsInline: true, preload: "metadata", attributes: { "aria-label": "The recording" }, onerror: failed });
  }

  get position(): number {
    return this.zero + this.element.currentTime * 1_000;
  }

  get isPlaying(): boolean {
    return !this.element.paused && !this.element.ended && this.element.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA;
  }

  get rate(): number {
    return this.element.playbackRate;
  }

  set rate(rate: number) {
    this.element.playbackRate = rate;
  }

  play(): void {
    // A browser may refuse until somebody has clicked; then the video stands, which is seen.
    this.element.play().catch(() => undefined);
  }

  pause(): void {
    this.element.pause();
  }

  seek(position: number): void {
    this.element.currentTime = Math.max(0, (position - this.zero) / 1_000);
  }
}
