import { runsOf } from './metrics'
import './charts.css'

/** A few values as a small line without axes; holes stay holes. The number beside it says what it is. */
export function Sparkline({ values, top, width = 64, height = 20 }: { values: (number | null)[]; top?: number; width?: number; height?: number }) {
  const runs = runsOf(values)
  const highest = Math.max(top ?? 0, 0.001, ...runs.flat().map(([, value]) => value))
  const x = (i: number) => (values.length > 1 ? (i / (values.length - 1)) * width : width)
  const y = (value: number) => height - 1.5 - (value / highest) * (height - 3)
  const path = (run: [number, number][]) => run.map(([i, value], n) => `${n === 0 ? 'M' : 'L'}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join('')
  return (
    <svg className="sk-spark" width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden>
      {runs.map((run) => {
        const first = run[0]?.[0] ?? 0
        const last = run.at(-1)?.[0] ?? 0
        return (
          <g key={first}>
            <path className="sk-spark-area" d={`${path(run)}L${x(last).toFixed(1)} ${height}L${x(first).toFixed(1)} ${height}Z`} />
            <path d={run.length > 1 ? path(run) : `${path(run)}h1`} />
          </g>
        )
      })}
    </svg>
  )
}
