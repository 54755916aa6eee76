import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api, ifMatch } from '@/api/client'
import type { JoinTokenInput, Node, NodeSpec } from '@/api/model'
import { keys } from '@/api/queries'

/** What still runs on a node that is being drained; asked anew until nothing that can move is left. */
export const drainQuery = (ref: string) =>
  queryOptions({
    queryKey: [...keys.nodes, ref, 'drain'],
    queryFn: ({ signal }) => answer(api.GET('/nodes/{ref}/drain', { params: { path: { ref } }, signal })),
    refetchInterval: (query) => (query.state.data?.done ? 10_000 : 2_000),
    retry: false,
  })

/** The containers on a node, of every tenant that the person may read. */
export const nodeContainersQuery = (node: string, everyTenant: boolean) =>
  queryOptions({
    queryKey: [...keys.containers, { node, everyTenant }],
    queryFn: ({ signal }) => answer(api.GET('/containers', { params: { query: { node, limit: 1000, ...(everyTenant ? { tenant: '*' } : {}) } }, signal })),
  })

/** The join tokens; their use and their end make no events. */
export const joinTokensQuery = queryOptions({
  queryKey: keys.joinTokens,
  queryFn: ({ signal }) => answer(api.GET('/join-tokens', { signal })),
  refetchInterval: 5_000,
})

function useRefresh() {
  const queries = useQueryClient()
  return () => Promise.all([keys.nodes, keys.quorum, keys.status, keys.containers].map((queryKey) => queries.invalidateQueries({ queryKey })))
}

export type NodeAction = 'drain' | 'activate' | 'promote' | 'demote'

/** Drains (begins to: the page shows how it goes on), activates, promotes or demotes a node. */
export function useNodeAction() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: async ({ node, action }: { node: Node; action: NodeAction }) => {
      const path = { ref: node.id }
      if (action === 'drain') await answer(api.POST('/nodes/{ref}/drain', { params: { path, query: { wait: 0 } }, headers: { Accept: 'application/json' } }))
      else if (action === 'activate') await answer(api.POST('/nodes/{ref}/activate', { params: { path } }))
      else if (action === 'promote') await answer(api.POST('/nodes/{ref}/promote', { params: { path } }))
      else await answer(api.POST('/nodes/{ref}/demote', { params: { path } }))
    },
    onSettled: refresh,
  })
}

/** Changes a node's labels; refused when the node has been changed since it was read. */
export function useSetLabels() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ node, labels }: { node: Node; labels: Record<string, string> }) => {
      const spec: NodeSpec = { ...node.spec, labels }
      return answer(api.PUT('/nodes/{ref}', { params: { path: { ref: node.id }, header: ifMatch(node.version) }, body: spec }))
    },
    onSettled: refresh,
  })
}

export function useRemoveNode() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ node, force }: { node: Node; force: boolean }) => answer(api.DELETE('/nodes/{ref}', { params: { path: { ref: node.id }, query: { force: force || undefined } } })),
    onSettled: refresh,
  })
}

export function useCreateJoinToken() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (input: JoinTokenInput) => answer(api.POST('/join-tokens', { body: input })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.joinTokens }),
  })
}

export function useRevokeJoinToken() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (id: string) => answer(api.DELETE('/join-tokens/{ref}', { params: { path: { ref: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.joinTokens }),
  })
}
