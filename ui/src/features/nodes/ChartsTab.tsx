import { useSearchParams } from 'react-router'
import { useMetrics } from '@/api/metrics'
import type { Node } from '@/api/model'
import { asProblem } from '@/api/problem'
import { NodeCharts } from '@/shared/charts/MetricCharts'
import { rangeOf } from '@/shared/charts/metrics'

export default function ChartsTab({ node }: { node: Node }) {
  const [search, setSearch] = useSearchParams()
  const range = rangeOf(search.get('range'))
  const metrics = useMetrics('nodes', node.id, range)
  return (
    <NodeCharts
      metrics={metrics.data}
      range={range}
      onRange={(next) => setSearch((old) => { old.set('range', next); return old }, { replace: true })}
      cpus={node.status.cpus}
      memoryBytes={node.status.memoryBytes}
      problem={metrics.isError && !metrics.data ? asProblem(metrics.error) : null}
      retry={() => void metrics.refetch()}
    />
  )
}
