// Points of 0 to 1 that are spread evenly however many are taken, and bear no pattern that requests could be in step with:
// multiples of the golden ratio (Weyl's sequence). A canary's share holds for its first hundred requests, where dice
// would be out by several points.

const GOLDEN = 0.6180339887498949

/** A sequence of points. */
export class EvenPoints {
  private at = -1

  /**
   * The next point, below 1.
   *
   * @param random  uniform, 0 to 1: where the sequence begins, so that proxies are not in step
   */
  next(random: number): number {
    if (this.at < 0) this.at = random
    else this.at += GOLDEN
    if (this.at >= 1) this.at -= 1
    return this.at
  }
}
