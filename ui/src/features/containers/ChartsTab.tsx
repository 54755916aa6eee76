import { useSearchParams } from 'react-router'
import { useMetrics } from '@/api/metrics'
import type { Container } from '@/api/model'
import { asProblem } from '@/api/problem'
import { ContainerCharts } from '@/shared/charts/MetricCharts'
import { rangeOf } from '@/shared/charts/metrics'

export default function ChartsTab({ container }: { container: Container }) {
  const [search, setSearch] = useSearchParams()
  const range = rangeOf(search.get('range'))
  const metrics = useMetrics('containers', container.id, range)
  return (
    <ContainerCharts
      metrics={metrics.data}
      range={range}
      onRange={(next) => setSearch((old) => { old.set('range', next); return old }, { replace: true })}
      problem={metrics.isError && !metrics.data ? asProblem(metrics.error) : null}
      retry={() => void metrics.refetch()}
    />
  )
}
