import { queryOptions, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect } from 'react'
import { appendMetrics, ranges, type MetricsRange } from '@/shared/charts/metrics'
import { answer, api } from './client'
import type { Metrics } from './model'

/** Whose figures: a container, a service (its containers together) or a node. */
export type MetricsOf = 'containers' | 'services' | 'nodes'

/** The live range asks for what is new so often, in ms. */
const livePoll = 2_000

async function ask(of: MetricsOf, ref: string, since: string, step: number | undefined, signal: AbortSignal): Promise<Metrics> {
  const params = { path: { ref }, query: { since, step } }
  if (of === 'containers') return answer(api.GET('/containers/{ref}/metrics', { params, signal }))
  if (of === 'services') return answer(api.GET('/services/{ref}/metrics', { params, signal }))
  return answer(api.GET('/nodes/{ref}/metrics', { params, signal }))
}

const metricsQuery = (of: MetricsOf, ref: string, range: MetricsRange) => {
  const { seconds, step, refresh } = ranges[range]
  return queryOptions({
    queryKey: ['metrics', of, ref, range],
    queryFn: ({ signal }) => ask(of, ref, `${seconds}s`, step, signal),
    refetchInterval: range === '15m' ? false : refresh,
    staleTime: refresh,
    retry: false,
    gcTime: 30_000,
  })
}

/**
 * The figures of a range. The live one asks once for the whole and then, every two seconds while the page is looked at, only
 * for what is new; whoever looks again after a pause gets the whole anew.
 */
export function useMetrics(of: MetricsOf, ref: string, range: MetricsRange, enabled = true) {
  const queries = useQueryClient()
  const query = useQuery({ ...metricsQuery(of, ref, range), enabled: enabled && ref !== '' })
  const live = enabled && range === '15m' && query.isSuccess
  useEffect(() => {
    if (!live) return
    const stop = new AbortController()
    const { queryKey } = metricsQuery(of, ref, range)
    let busy = false
    const timer = setInterval(() => {
      const old = queries.getQueryData(queryKey)
      if (!old || busy || document.hidden) return
      const behind = (Date.now() - Date.parse(old.to)) / 1000
      // After a pause longer than the range there is nothing to append to.
      if (behind > ranges[range].seconds) return void queries.invalidateQueries({ queryKey })
      busy = true
      void ask(of, ref, old.to, ranges[range].step, stop.signal)
        .then((fresh) => queries.setQueryData(queryKey, (present) => (present ? appendMetrics(present, fresh, ranges[range].seconds) : fresh)))
        // The next round asks for what this one missed; a lasting refusal shows when the query is asked again.
        .catch(() => undefined)
        .finally(() => (busy = false))
    }, livePoll)
    return () => {
      clearInterval(timer)
      stop.abort()
    }
  }, [live, of, ref, range, queries])
  return query
}

/** The last minutes of a container in a few values, for the sparklines of a list. */
export const sparkQuery = (ref: string) =>
  queryOptions({
    queryKey: ['spark', ref],
    queryFn: ({ signal }) => ask('containers', ref, '10m', 20, signal),
    refetchInterval: 20_000,
    staleTime: 15_000,
    retry: false,
    gcTime: 60_000,
  })
