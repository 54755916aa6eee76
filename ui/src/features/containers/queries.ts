import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api } from '@/api/client'
import type { CommitInput, Container, Port } from '@/api/model'
import { keys } from '@/api/queries'

/** More containers than this are not listed; the page says so. */
const most = 10_000

/** Every container of the tenant, page by page. */
export const allContainersQuery = queryOptions({
  queryKey: [...keys.containers, 'all'],
  queryFn: async ({ signal }) => {
    const items: Container[] = []
    let cursor: string | undefined
    do {
      const part = await answer(api.GET('/containers', { params: { query: { limit: 1000, cursor } }, signal }))
      items.push(...part.items)
      cursor = part.nextCursor
    } while (cursor && items.length < most)
    return { items, more: cursor !== undefined && cursor !== '' }
  },
})

export const containerQuery = (ref: string) =>
  queryOptions({
    queryKey: [...keys.containers, 'one', ref],
    queryFn: ({ signal }) => answer(api.GET('/containers/{ref}', { params: { path: { ref } }, signal })),
  })

/** The published ports by service; a container answers at those of its service. */
export const portsQuery = queryOptions({
  queryKey: [...keys.services, 'ports'],
  queryFn: async ({ signal }) => {
    const { items } = await answer(api.GET('/ports', { params: { query: { limit: 1000 } }, signal }))
    const byService = new Map<string, Port[]>()
    for (const port of items) byService.set(port.serviceId, [...(byService.get(port.serviceId) ?? []), port])
    return byService
  },
  // A Map is compared as a whole.
  structuralSharing: false,
})

function useRefresh() {
  const queries = useQueryClient()
  return async () => {
    await Promise.all([keys.containers, keys.services, keys.apps, keys.status].map((queryKey) => queries.invalidateQueries({ queryKey })))
  }
}

export type Action = 'start' | 'stop' | 'restart' | 'kill' | 'remove'

async function act(container: Container, action: Action): Promise<void> {
  const path = { ref: container.id }
  if (action === 'start') await answer(api.POST('/containers/{ref}/start', { params: { path } }))
  else if (action === 'stop') await answer(api.POST('/containers/{ref}/stop', { params: { path }, body: {} }))
  else if (action === 'restart') await answer(api.POST('/containers/{ref}/restart', { params: { path }, body: {} }))
  else if (action === 'kill') await answer(api.POST('/containers/{ref}/kill', { params: { path }, body: { signal: 'SIGKILL' } }))
  else await answer(api.DELETE('/containers/{ref}', { params: { path, query: { force: container.status.phase === 'running' || undefined, wait: 30 } } }))
}

export function useAction() {
  const refresh = useRefresh()
  return useMutation({ mutationFn: ({ container, action }: { container: Container; action: Action }) => act(container, action), onSettled: refresh })
}

export interface Refusal {
  container: Container
  error: unknown
}

/** Does the same to many, four at a time; returns those that were refused, so that one of them does not hide the rest. */
export function useBulk() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: async ({ containers, action }: { containers: Container[]; action: Action }): Promise<Refusal[]> => {
      const refused: Refusal[] = []
      const waiting = [...containers]
      const worker = async () => {
        for (let container = waiting.shift(); container; container = waiting.shift()) {
          try {
            await act(container, action)
          } catch (error) {
            refused.push({ container, error })
          }
        }
      }
      await Promise.all([worker(), worker(), worker(), worker()])
      return refused
    },
    onSettled: refresh,
  })
}

export function useCommit() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: ({ container, input }: { container: Container; input: CommitInput }) => answer(api.POST('/containers/{ref}/commit', { params: { path: { ref: container.id } }, body: input })),
    onSettled: () => Promise.all([keys.images, keys.repositories].map((queryKey) => queries.invalidateQueries({ queryKey }))),
  })
}
