import { useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { sparkQuery } from '@/api/metrics'
import type { Container } from '@/api/model'
import { newest } from '@/shared/charts/metrics'
import { Sparkline } from '@/shared/charts/Sparkline'
import { formatBytes, formatCores } from '@/shared/lib/format'
import './containers.css'

/** Whether it has stood still for a moment: rows that fly by while somebody scrolls ask for nothing. */
function useSettled(): boolean {
  const [settled, setSettled] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(true), 400)
    return () => clearTimeout(timer)
  }, [])
  return settled
}

/** A query is begun only for rows that stay: making one for each row that flies by would cost more than drawing it. */
function Spark({ container, metric }: { container: Container; metric: 'cpu' | 'memory' }) {
  const settled = useSettled()
  if (!settled || container.status.phase !== 'running') return <span className="sk-muted">–</span>
  return <Live id={container.id} metric={metric} />
}

function Live({ id, metric }: { id: string; metric: 'cpu' | 'memory' }) {
  const { data } = useQuery(sparkQuery(id))
  const values = data?.series.find((series) => series.metric === metric)?.values
  return metric === 'cpu' ? <Cell values={values} text={formatCores} top={data?.cpuLimit} /> : <Cell values={values} text={formatBytes} top={data?.memoryLimitBytes} />
}

export const CpuSpark = ({ container }: { container: Container }) => <Spark container={container} metric="cpu" />
export const MemorySpark = ({ container }: { container: Container }) => <Spark container={container} metric="memory" />

/** A limit is the top of the line only where the values come near to it; else all lines would lie on the floor. */
function Cell({ values, text, top }: { values: (number | null)[] | undefined; text: (value: number) => string; top?: number }) {
  const last = values && newest(values, 6)
  if (!values || last === undefined) return <span className="sk-muted">–</span>
  const highest = Math.max(...values.map((value) => value ?? 0))
  return (
    <span className="sk-sparkcell">
      <Sparkline values={values} top={top && highest > top / 3 ? top : undefined} width={48} />
      <span className="sk-number">{text(last)}</span>
    </span>
  )
}
