/** Tells how fast something goes from the counts of the last seconds, so that one slow moment does not move it much. */
export class Rate {
  private samples: { at: number; count: number }[] = []

  constructor(private readonly spanMs = 5_000) {}

  /** Takes a count (bytes so far) and returns how much is added per second; 0 until it is known. */
  add(count: number, at = Date.now()): number {
    const last = this.samples.at(-1)
    if (last && (count < last.count || at < last.at)) this.samples = []
    this.samples.push({ at, count })
    while (this.samples.length > 2 && at - (this.samples[1]?.at ?? at) >= this.spanMs) this.samples.shift()
    const first = this.samples[0]
    if (!first || at - first.at < 250) return 0
    return ((count - first.count) / (at - first.at)) * 1000
  }
}
