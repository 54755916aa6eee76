import type { EChartsCoreOption } from 'echarts/core'
import { fontFamily, mix, tokens, type Scheme } from '../lib/tokens'

export type Tone = 'accent' | 'orange' | 'blue' | 'green' | 'red' | 'grey'

/** What one chart shows, free of any library. */
export interface ChartSpec {
  /** Milliseconds since 1970 of the first value, and seconds from one to the next. */
  from: number
  step: number
  /** What the time axis spans, in ms. */
  window: [number, number]
  lines: { name: string; values: (number | null)[]; tone: Tone; area?: boolean }[]
  /** What lies between the least and the highest of several. */
  band?: { name: string; min: (number | null)[]; max: (number | null)[]; tone: Tone }
  /** Lines that must not be crossed. */
  limits: { name: string; value: number; /** All there is: a fact, not a bound that somebody set. */ whole?: boolean }[]
  unit: 'cores' | 'bytes' | 'bytesPerSecond' | 'count'
  format: (value: number) => string
  /** Wall-clock words of a moment, for the axis and for the tooltip. */
  clock: (ms: number, exact: boolean) => string
}

/** A round number of ticks: powers of two for bytes, 1-2-5 for the rest. */
export function niceStep(rough: number, binary: boolean): number {
  if (!(rough > 0)) return binary ? 1024 : 0.01
  if (binary) return 2 ** Math.ceil(Math.log2(rough))
  const power = 10 ** Math.floor(Math.log10(rough))
  const digit = rough / power
  return (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10) * power
}

/** The top of the value axis: above every value, and above a limit that the values come near to. */
export function axisTop(spec: Pick<ChartSpec, 'lines' | 'band' | 'limits' | 'unit'>): { top: number; step: number } {
  let highest = 0
  const rows = [...spec.lines.map(({ values }) => values), ...(spec.band ? [spec.band.max] : [])]
  for (const row of rows) for (const value of row) if (value !== null && value > highest) highest = value
  // A limit far above the values would press them flat; then the number in the heading tells it alone.
  for (const { value } of spec.limits) if (highest > value * 0.2 && value * 1.04 > highest) highest = value * 1.04
  const binary = spec.unit === 'bytes' || spec.unit === 'bytesPerSecond'
  const step = niceStep(highest / 3, binary)
  return { top: Math.max(step, Math.ceil(highest / step - 1e-9) * step), step }
}

type Point = [number, number | null] | { value: [number, number]; symbol: string; symbolSize: number }

/** Values as points; one that stands between two holes is a dot, or nobody would see it. */
export function pointsOf(spec: Pick<ChartSpec, 'from' | 'step'>, values: (number | null)[]): Point[] {
  return values.map((value, i): Point => {
    const at = spec.from + i * spec.step * 1000
    const alone = value !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null
    return alone ? { value: [at, value], symbol: 'circle', symbolSize: 4 } : [at, value]
  })
}

/** What ECharts draws. Names and numbers go into the tooltip as text, never as HTML: containers and their apps name themselves. */
export function optionOf(spec: ChartSpec, scheme: Scheme): EChartsCoreOption {
  const set = tokens[scheme]
  const { top, step } = axisTop(spec)
  const line = (name: string, values: (number | null)[], color: string) => ({
    type: 'line',
    name,
    data: pointsOf(spec, values),
    symbol: 'none',
    connectNulls: false,
    lineStyle: { width: 1.5, color },
    itemStyle: { color },
    emphasis: { disabled: true },
    silent: true,
  })
  const shown = spec.limits.filter(({ value }) => value <= top)
  const bound = shown.some(({ whole }) => whole) ? set.muted : set.red
  const markLine =
    shown.length === 0
      ? undefined
      : {
          silent: true,
          symbol: 'none',
          label: { show: true, position: 'insideEndTop', distance: [0, 2], color: bound, fontSize: 11, fontFamily, formatter: ({ name }: { name: string }) => name },
          lineStyle: { color: bound, width: 1, type: 'dashed', opacity: 0.9 },
          data: shown.map(({ name, value }) => ({ name, yAxis: value })),
        }
  const band = spec.band
  const between = band?.max.map((high, i) => {
    const low = band.min[i] ?? null
    return high === null || low === null ? null : high - low
  })
  const series: Record<string, unknown>[] = [
    ...(band && between
      ? [
          { ...line('', band.min, 'transparent'), lineStyle: { width: 0 }, stack: 'band', tooltip: { show: false } },
          { ...line('', between, set[band.tone]), lineStyle: { width: 0 }, stack: 'band', areaStyle: { color: set[band.tone], opacity: scheme === 'dark' ? 0.3 : 0.2 }, tooltip: { show: false } },
        ]
      : []),
    ...spec.lines.map(({ name, values, tone, area }) => ({ ...line(name, values, set[tone]), ...(area ? { areaStyle: { color: set[tone], opacity: scheme === 'dark' ? 0.14 : 0.09 } } : {}) })),
  ]
  // The limit belongs to the chart, not to a line: without a line of its own it goes with the first.
  if (markLine && series[0]) series[series.length - 1] = { ...series.at(-1), markLine }
  return {
    animation: false,
    textStyle: { fontFamily },
    grid: { left: 66, right: 12, top: 10, bottom: 24, outerBoundsMode: 'none' },
    xAxis: {
      type: 'time',
      min: spec.window[0],
      max: spec.window[1],
      splitNumber: 4,
      axisLine: { lineStyle: { color: set.line } },
      axisTick: { show: false },
      splitLine: { show: false },
      axisLabel: { color: set.muted, fontSize: 11, hideOverlap: true, showMinLabel: false, showMaxLabel: false, formatter: (ms: number) => spec.clock(ms, false) },
    },
    yAxis: {
      type: 'value',
      min: 0,
      max: top,
      interval: step,
      axisLine: { show: false },
      axisTick: { show: false },
      splitLine: { lineStyle: { color: mix(set.line, set.surface, 0.7) } },
      axisLabel: { color: set.muted, fontSize: 11, formatter: (value: number) => spec.format(value) },
    },
    tooltip: {
      trigger: 'axis',
      confine: true,
      transitionDuration: 0,
      backgroundColor: set.raised,
      borderColor: set.line,
      textStyle: { color: set.text, fontSize: 12 },
      axisPointer: { type: 'line', lineStyle: { color: set.muted, type: 'solid', opacity: 0.5 } },
      formatter: (params: { dataIndex: number }[]) => tooltipOf(spec, params[0]?.dataIndex ?? -1, scheme),
    },
    series,
  }
}

/** The tooltip's content as elements. */
export function tooltipOf(spec: ChartSpec, index: number, scheme: Scheme): HTMLElement {
  const box = document.createElement('div')
  box.className = 'sk-chart-tip'
  const head = box.appendChild(document.createElement('div'))
  head.textContent = spec.clock(spec.from + index * spec.step * 1000, true)
  const row = (name: string, text: string, tone: Tone, soft: boolean) => {
    const line = box.appendChild(document.createElement('div'))
    const mark = line.appendChild(document.createElement('i'))
    mark.style.background = tokens[scheme][tone]
    if (soft) mark.style.opacity = '0.4'
    line.appendChild(document.createElement('span')).textContent = name
    line.appendChild(document.createElement('b')).textContent = text
  }
  const { band } = spec
  const low = band?.min[index] ?? null
  const high = band?.max[index] ?? null
  if (band && low !== null && high !== null) row(band.name, `${spec.format(low)} – ${spec.format(high)}`, band.tone, true)
  for (const { name, values, tone } of spec.lines) {
    const value = values[index] ?? null
    if (value !== null) row(name, spec.format(value), tone, false)
  }
  for (const { name, value, whole } of spec.limits) row(name, spec.format(value), whole ? 'grey' : 'red', false)
  return box
}
