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
    const timer = setTimeout(() => setSettled(true), 250)
    return () => clearTimeout(timer)
  }, [])
  return settled
}

function useSpark(container: Container) {
  const settled = useSettled()
  const running = container.status.phase === 'running'
  const { data } = useQuery({ ...sparkQuery(container.id), enabled: settled && running })
  return running ? data : undefined
}

export function CpuSpark({ container }: { container: Container }) {
  const data = useSpark(container)
  const values = data?.series.find(({ metric }) => metric === 'cpu')?.values
  return <Cell values={values} text={formatCores} top={data?.cpuLimit} />
}

export function MemorySpark({ container }: { container: Container }) {
  const data = useSpark(container)
  const values = data?.series.find(({ metric }) => metric === 'memory')?.values
  return <Cell values={values} text={formatBytes} top={data?.memoryLimitBytes} />
}

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
