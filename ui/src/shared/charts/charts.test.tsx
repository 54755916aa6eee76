import { render, screen } from '@testing-library/react'
import { describe, expect, it } from 'vitest'
import { appendMetrics, bandOf, extent, newest, rangeOf, runsOf, type MetricsLike, type SeriesLike } from './metrics'
import { ContainerCharts, ServiceCharts } from './MetricCharts'
import { axisTop, niceStep, optionOf, pointsOf, tooltipOf, type ChartSpec } from './option'

const at = (second: number) => new Date(Date.UTC(2026, 10, 21, 8, 0, second)).toISOString()
const series = (values: (number | null)[], more: Partial<SeriesLike> = {}): SeriesLike => ({ metric: 'cpu', unit: 'cores', values, ...more })
const metrics = (from: number, rows: SeriesLike[], step = 1): MetricsLike => ({ from: at(from), to: at(from + (Math.max(...rows.map(({ values }) => values.length)) - 1) * step), stepSeconds: step, series: rows })

describe('appendMetrics', () => {
  it('puts the new behind the old; where both speak the new one wins, but silence wipes nothing out', () => {
    const joined = appendMetrics(metrics(0, [series([1, 2, 3])]), metrics(2, [series([30, null, 5])]), 900)
    expect(joined.series[0]?.values).toEqual([1, 2, 30, null, 5])
    expect([joined.from, joined.to]).toEqual([at(0), at(4)])
    expect(appendMetrics(metrics(0, [series([1, 2])]), metrics(1, [series([null, 3])]), 900).series[0]?.values).toEqual([1, 2, 3])
  })
  it('leaves a gap a gap and forgets what is older than the window', () => {
    const joined = appendMetrics(metrics(0, [series([1, 2])]), metrics(5, [series([6])]), 4)
    expect(joined.series[0]?.values).toEqual([2, null, null, null, 6])
    expect(joined.from).toBe(at(1))
  })
  it('takes in a container that has come and lets one go whose last value has left', () => {
    const old = metrics(0, [series([1, null, null], { containerId: 'a' })])
    const joined = appendMetrics(old, metrics(3, [series([4], { containerId: 'b' })]), 2)
    expect(joined.series.map(({ containerId, values }) => [containerId, values])).toEqual([['b', [null, null, 4]]])
  })
  it('begins anew when the two do not fit', () => {
    const fresh = metrics(2, [series([9])], 30)
    expect(appendMetrics(metrics(0, [series([1])]), fresh, 900)).toBe(fresh)
    const later = metrics(5_000, [series([9])])
    expect(appendMetrics(metrics(0, [series([1])]), later, 900)).toBe(later)
  })
})

describe('bandOf', () => {
  it('spans least to highest, names the most loaded, and is open where none has a value', () => {
    const band = bandOf([series([1, null, null, 1], { container: 'web-1' }), series([3, 2, null, null], { container: 'web-2' })])
    expect(band.min).toEqual([1, 2, null, 1])
    expect(band.max).toEqual([3, 2, null, 1])
    expect(band.worst?.name).toBe('web-2')
    expect(bandOf([series([null])]).worst).toBeUndefined()
  })
})

describe('values', () => {
  it('finds the newest that is there', () => {
    expect(newest([1, 2, null])).toBe(2)
    expect(newest([1, null, null], 2)).toBeUndefined()
    expect(extent([3, null, 1, 2])).toEqual({ min: 1, max: 3, last: 2 })
    expect(extent([null])).toBeUndefined()
  })
  it('parts runs at holes', () => expect(runsOf([1, null, 2, 3])).toEqual([[[0, 1]], [[2, 2], [3, 3]]]))
  it('reads the range of an address', () => expect([rangeOf('7d'), rangeOf('toString'), rangeOf(null)]).toEqual(['7d', '15m', '15m']))
})

const spec = (part: Partial<ChartSpec> = {}): ChartSpec => ({
  from: 0,
  step: 1,
  window: [0, 900_000],
  lines: [{ name: 'web-1', values: [1, null, 2, null, 3, 4], tone: 'accent' }],
  limits: [],
  unit: 'cores',
  format: (value) => `${value} cores`,
  clock: (ms) => String(ms),
  ...part,
})

describe('a chart', () => {
  it('has round steps, in powers of two for bytes', () => {
    expect([0.021, 0.3, 7, 0].map((rough) => niceStep(rough, false))).toEqual([0.05, 0.5, 10, 0.01])
    expect([700, 1025, 3 * 2 ** 20].map((rough) => niceStep(rough, true))).toEqual([1024, 2048, 4 * 2 ** 20])
  })
  it('reaches up to a limit that the values come near to, not to one far away', () => {
    expect(axisTop(spec({ limits: [{ name: 'Limit', value: 5 }] })).top).toBeGreaterThan(5)
    expect(axisTop(spec({ limits: [{ name: 'Limit', value: 500 }] })).top).toBeLessThan(10)
    expect(axisTop(spec({ lines: [] })).top).toBeGreaterThan(0)
  })
  it('keeps holes and shows a lone value as a dot', () => {
    expect(pointsOf({ from: 0, step: 1 }, [1, null, 2, 3])).toEqual([{ value: [0, 1], symbol: 'circle', symbolSize: 4 }, [1000, null], [2000, 2], [3000, 3]])
    const option = optionOf(spec({ band: { name: 'All', min: [1, null], max: [3, null], tone: 'accent' } }), 'light') as { animation: boolean; series: { data: unknown[]; connectNulls: boolean }[] }
    expect(option.animation).toBe(false)
    expect(option.series.every(({ connectNulls }) => !connectNulls)).toBe(true)
    expect(option.series[1]?.data[1]).toEqual([1000, null])
  })
  it('takes names as text, whatever they say', () => {
    const box = tooltipOf(spec({ lines: [{ name: '<img src=x onerror=alert(1)>', values: [1], tone: 'accent' }] }), 0, 'dark')
    expect(box.querySelector('img')).toBeNull()
    expect(box.textContent).toContain('<img src=x onerror=alert(1)>')
    expect(box.textContent).toContain('1 cores')
  })
})

describe('charts on a page', () => {
  const props = { range: '15m' as const, onRange: () => {} }
  it('say in words what they show, limits included', async () => {
    render(<ContainerCharts {...props} metrics={{ ...metrics(0, [series([0.1, 0.4, 0.2])]), cpuLimit: 0.5 }} />)
    const chart = await screen.findByRole('img', { name: /^CPU over 15 min/ })
    expect(chart.getAttribute('aria-label')).toBe('CPU over 15 min. Used: now 0.2 cores, lowest 0.1 cores, highest 0.4 cores. Limit: 0.5 cores')
    expect(screen.getAllByText('No figures in this range.').length).toBe(3)
  })
  it('name the most loaded replica', () => {
    render(<ServiceCharts {...props} metrics={metrics(0, [series([0.1], { container: 'web-1', containerId: '1' }), series([0.9], { container: 'web-2', containerId: '2' })])} />)
    screen.getByText('web-2')
    screen.getByText('All 2 replicas, lowest to highest')
  })
})
