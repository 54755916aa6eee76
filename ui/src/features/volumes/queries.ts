import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api, ifMatch } from '@/api/client'
import type { Volume } from '@/api/model'
import { keys } from '@/api/queries'

export const volumeQuery = (ref: string) =>
  queryOptions({
    queryKey: [...keys.volumes, ref],
    queryFn: ({ signal }) => answer(api.GET('/volumes/{ref}', { params: { path: { ref } }, signal })),
    // Data grows without an event.
    refetchInterval: 15_000,
  })

function useRefresh() {
  const queries = useQueryClient()
  return async () => {
    await Promise.all([keys.volumes, keys.status].map((queryKey) => queries.invalidateQueries({ queryKey })))
  }
}

export interface NewVolume {
  name: string
  node?: string
  spec?: { labels?: Record<string, string> }
}

export function useCreateVolume() {
  const refresh = useRefresh()
  return useMutation({ mutationFn: (input: NewVolume) => answer(api.POST('/volumes', { body: input })), onSettled: refresh })
}

export function useRemoveVolume() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (volume: Volume) => answer(api.DELETE('/volumes/{ref}', { params: { path: { ref: volume.id }, header: ifMatch(volume.version) } })),
    onSettled: refresh,
  })
}
