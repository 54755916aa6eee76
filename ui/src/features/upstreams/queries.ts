import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api, ifMatch } from '@/api/client'
import type { Upstream } from '@/api/model'
import { keys, page } from '@/api/queries'

export const upstreamsQuery = queryOptions({
  queryKey: keys.upstreams,
  queryFn: ({ signal }) => answer(api.GET('/upstreams', { params: { query: { limit: page } }, signal })),
})

function useRefresh() {
  const queries = useQueryClient()
  return () => queries.invalidateQueries({ queryKey: keys.upstreams })
}

export interface UpstreamWish {
  name: string
  spec: Upstream['spec']
  /** Absent: stays as it is. Empty: removed. */
  password?: string
}

/** Adds an upstream, or changes one. */
export function useSaveUpstream(upstream?: Upstream) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ name, spec, password }: UpstreamWish) =>
      upstream
        ? answer(api.PUT('/upstreams/{ref}', { params: { path: { ref: upstream.id }, header: ifMatch(upstream.version) }, body: { spec, password } }))
        : answer(api.POST('/upstreams', { body: { name, spec, password } })),
    onSettled: refresh,
  })
}

export function useRemoveUpstream() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (upstream: Upstream) => answer(api.DELETE('/upstreams/{ref}', { params: { path: { ref: upstream.id }, header: ifMatch(upstream.version) } })),
    onSettled: refresh,
  })
}

export function useTestUpstream() {
  return useMutation({ mutationFn: (upstream: Upstream) => answer(api.POST('/upstreams/{ref}/test', { params: { path: { ref: upstream.id } } })) })
}
