import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api } from '@/api/client'
import type { Session } from '@/api/model'
import { keys } from '@/api/queries'

export const tokensQuery = queryOptions({
  queryKey: keys.tokens,
  queryFn: ({ signal }) => answer(api.GET('/api-tokens', { signal })),
})

export const sessionsQuery = queryOptions({
  queryKey: keys.sessions,
  queryFn: ({ signal }) => answer(api.GET('/sessions', { signal })),
})

export function useRevokeToken() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (id: string) => answer(api.DELETE('/api-tokens/{id}', { params: { path: { id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.tokens }),
  })
}

/** Ends sessions one after the other: the contract has no call for several. */
export function useEndSessions() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: async (sessions: Session[]) => {
      for (const { id } of sessions) await answer(api.DELETE('/sessions/{id}', { params: { path: { id } } }))
    },
    onSettled: () => queries.invalidateQueries({ queryKey: keys.sessions }),
  })
}

export function useChangePassword() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (input: { current: string; password: string }) => answer(api.PUT('/session/password', { body: input })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.sessions }),
  })
}
