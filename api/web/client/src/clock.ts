/** The clock of a replay: show time that runs, stands, jumps and runs faster. */

/** What a replay goes by; a video is one too. Positions are milliseconds of show time. */
export interface Clock {
  readonly position: number;
  readonly isPlaying: boolean;
  rate: number;
  play(): void;
  pause(): void;
  seek(position: number): void;
}

/** A clock of its own, for a show without a picture. */
export class ShowClock implements Clock {
  readonly #now: () => number;
  #base: number;
  #since: number | undefined;
  #rate = 1;

  /** Stands at `position`. `now` is a steady clock in milliseconds. */
  constructor(position: number, now: () => number = () => performance.now()) {
    this.#base = position;
    this.#now = now;
  }

  get position(): number {
    if (this.#since === undefined) return this.#base;
    return this.#base + (this.#now() - this.#since) * this.#rate;
  }

  get isPlaying(): boolean {
    return this.#since !== undefined;
  }

  get rate(): number {
    return this.#rate;
  }

  set rate(rate: number) {
    this.seek(this.position);
    this.#rate = rate;
  }

  play(): void {
    this.#since ??= this.#now();
  }

  pause(): void {
    this.#base = this.position;
    this.#since = undefined;
  }

  seek(position: number): void {
    this.#base = position;
    if (this.#since !== undefined) this.#since = this.#now();
  }
}
