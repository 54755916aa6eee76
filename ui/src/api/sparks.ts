import { queryOptions, useQueries } from '@tanstack/react-query'
import { answer, api } from './client'
import type { Metrics } from './model'

/** The last minutes of something in a few values, for the small lines of lists. Holes are null. */
export interface Spark {
  cpu: (number | null)[]
  memory: (number | null)[]
}

const serviceSparkQuery = (ref: string) =>
  queryOptions({
    queryKey: ['spark', 'service', ref],
    queryFn: ({ signal }) => answer(api.GET('/services/{ref}/metrics', { params: { path: { ref }, query: { since: '10m', step: 20 } }, signal })),
    refetchInterval: 20_000,
    staleTime: 15_000,
    retry: false,
    gcTime: 60_000,
  })

/** The figures of services together; null while none are there. */
export function useServiceSpark(services: readonly string[], enabled = true): Spark | null {
  return useQueries({
    queries: services.map((ref) => ({ ...serviceSparkQuery(ref), enabled })),
    combine: (results) => {
      const all = results.flatMap(({ data }) => (data ? [data] : []))
      if (all.length === 0) return null
      const cpu = sumOf(all, 'cpu')
      return cpu.some((value) => value !== null) ? { cpu, memory: sumOf(all, 'memory') } : null
    },
  })
}

/** The sum over every series of a metric, aligned at their ends; a step without any value is a hole. */
export function sumOf(all: readonly Metrics[], metric: string): (number | null)[] {
  const series = all.flatMap((metrics) => metrics.series.filter((each) => each.metric === metric).map(({ values }) => values))
  const length = Math.max(0, ...series.map((values) => values.length))
  return Array.from({ length }, (_, i) => {
    const present = series.flatMap((values) => values[values.length - length + i] ?? [])
    return present.length > 0 ? present.reduce((sum, value) => sum + value, 0) : null
  })
}

/** The newest value that there is. */
export function newest(values: readonly (number | null)[]): number | null {
  return values.findLast((value) => value !== null) ?? null
}
