/** Figures over time as the contract gives them: one value for each step, null where there is no data. */
export interface SeriesLike {
  metric: string
  unit: string
  containerId?: string
  container?: string
  values: (number | null)[]
  max?: (number | null)[]
}

export interface MetricsLike {
  from: string
  to: string
  stepSeconds: number
  series: SeriesLike[]
  cpuLimit?: number
  memoryLimitBytes?: number
  diskTotalBytes?: number
}

export type MetricsRange = '15m' | '1h' | '24h' | '7d'

/** What each range asks for: its length and step in seconds, and after how many ms it is asked again. */
export const ranges: Record<MetricsRange, { seconds: number; step: number | undefined; refresh: number }> = {
  '15m': { seconds: 900, step: 1, refresh: 2_000 },
  '1h': { seconds: 3_600, step: 30, refresh: 30_000 },
  '24h': { seconds: 86_400, step: 300, refresh: 60_000 },
  '7d': { seconds: 604_800, step: 1_800, refresh: 300_000 },
}

const nameOf = (series: SeriesLike) => `${series.metric}\n${series.containerId ?? ''}`

/**
 * Puts what is new behind what is known and forgets what is older than the window. Where the two overlap the new one wins;
 * where they leave a gap the gap stays a gap. Answers of different steps do not fit: the new one stands alone.
 */
export function appendMetrics<T extends MetricsLike>(old: T, fresh: T, windowSeconds: number): T {
  const step = old.stepSeconds
  if (fresh.stepSeconds !== step || step <= 0) return fresh
  const longest = (metrics: T) => Math.max(0, ...metrics.series.map(({ values }) => values.length))
  const shift = Math.round((Date.parse(fresh.from) - Date.parse(old.from)) / 1000 / step)
  const oldLength = longest(old)
  if (!Number.isFinite(shift) || shift < 0) return fresh
  const length = Math.max(oldLength, shift + longest(fresh))
  const drop = Math.max(0, length - Math.floor(windowSeconds / step) - 1)
  if (drop >= oldLength) return fresh
  const join = (before: (number | null)[] | undefined, after: (number | null)[] | undefined) => {
    const joined: (number | null)[] = new Array<number | null>(length - drop).fill(null)
    before?.forEach((value, i) => {
      if (i >= drop) joined[i - drop] = value
    })
    after?.forEach((value, i) => {
      const at = shift + i - drop
      // A sample that is not taken yet does not wipe out one that is.
      if (at >= 0 && value !== null) joined[at] = value
    })
    return joined
  }
  const present = new Map(fresh.series.map((series) => [nameOf(series), series]))
  const known = new Set(old.series.map(nameOf))
  const merged = [
    ...old.series.map((series) => ({ before: series as SeriesLike | undefined, after: present.get(nameOf(series)) })),
    ...fresh.series.filter((series) => !known.has(nameOf(series))).map((series) => ({ before: undefined, after: series as SeriesLike | undefined })),
  ]
  const series = merged.flatMap(({ before, after }) => {
    const shape = after ?? before
    if (!shape) return []
    const values = join(before?.values, after?.values)
    // A container that is gone goes when its last value leaves the window.
    if (!after && values.every((value) => value === null)) return []
    const max = before?.max || after?.max ? join(before?.max, after?.max) : undefined
    return [{ ...shape, values, max }]
  })
  const from = new Date(Date.parse(old.from) + drop * step * 1000).toISOString()
  return { ...old, ...fresh, from, to: Date.parse(fresh.to) > Date.parse(old.to) ? fresh.to : old.to, series }
}

/** One line of a chart. */
export interface ChartLine {
  name: string
  values: (number | null)[]
}

/** Several containers' values of one metric as what lies between their least and highest, and the one that is highest. */
export interface Band {
  min: (number | null)[]
  max: (number | null)[]
  /** The container that was highest over all, by the mean of what it has; undefined without any value. */
  worst?: ChartLine
  count: number
}

const mean = (values: (number | null)[]) => {
  let sum = 0
  let count = 0
  for (const value of values) {
    if (value === null) continue
    sum += value
    count++
  }
  return count > 0 ? sum / count : -Infinity
}

/** Joins the series of a metric, one for each container, to a band. A step in which none has a value is a hole. */
export function bandOf(series: SeriesLike[]): Band {
  const length = Math.max(0, ...series.map(({ values }) => values.length))
  const min: (number | null)[] = []
  const max: (number | null)[] = []
  for (let i = 0; i < length; i++) {
    let low: number | null = null
    let high: number | null = null
    for (const { values } of series) {
      const value = values[i] ?? null
      if (value === null) continue
      if (low === null || value < low) low = value
      if (high === null || value > high) high = value
    }
    min.push(low)
    max.push(high)
  }
  let worst: ChartLine | undefined
  let highest = -Infinity
  for (const each of series) {
    const value = mean(each.values)
    if (value > highest) {
      highest = value
      worst = { name: each.container || each.containerId || '', values: each.values }
    }
  }
  return { min, max, worst, count: series.length }
}

/** The newest value that is there, looking back at most so many steps. */
export function newest(values: (number | null)[], back = values.length): number | undefined {
  for (let i = values.length - 1; i >= Math.max(0, values.length - back); i--) {
    const value = values[i]
    if (value !== null && value !== undefined) return value
  }
  return undefined
}

/** Least, highest and newest of some values; undefined where there are none. */
export function extent(values: (number | null)[]): { min: number; max: number; last: number } | undefined {
  let min = Infinity
  let max = -Infinity
  for (const value of values) {
    if (value === null) continue
    if (value < min) min = value
    if (value > max) max = value
  }
  const last = newest(values)
  return last === undefined ? undefined : { min, max, last }
}

/** Parts a row of values into runs without holes, as [index, value]. */
export function runsOf(values: (number | null)[]): [number, number][][] {
  const runs: [number, number][][] = []
  let run: [number, number][] | undefined
  values.forEach((value, i) => {
    if (value === null) {
      run = undefined
      return
    }
    if (!run) runs.push((run = []))
    run.push([i, value])
  })
  return runs
}

/** The range that a word in the address means; the live one when it means none. */
export function rangeOf(word: string | null): MetricsRange {
  return word !== null && Object.hasOwn(ranges, word) ? (word as MetricsRange) : '15m'
}
