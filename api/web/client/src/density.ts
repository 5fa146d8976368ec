/**
 * Which comments of a crowd are shown: the same for everybody who looks at the same density.
 *
 * A comment is kept iff `hash(seq) / 2^64 < cap / crowd`, where `crowd` counts the comments of the
 * second before it and the hash is SplitMix64, as on the server.
 */
const MASK = (1n << 64n) - 1n;

/** SplitMix64 of a seq. */
export function hashOf(seq: number): bigint {
  let z = (BigInt(seq) + 0x9e3779b97f4a7c15n) & MASK;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return z ^ (z >> 31n);
}

/** Whether a comment is kept where at most about `cap` a second are wanted; all are at infinity. */
export function isKept(seq: number, crowd: number, cap: number): boolean {
  if (crowd <= cap) return true;
  return Number(hashOf(seq)) / 2 ** 64 < cap / crowd;
}
