import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api } from '@/api/client'
import { keys } from '@/api/queries'

export const tokensQuery = queryOptions({
  queryKey: keys.tokens,
  queryFn: ({ signal }) => answer(api.GET('/api-tokens', { signal })),
})

export function useCreateToken() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (input: { name: string; role: 'admin' | 'auditor' | 'owner' | 'developer' | 'viewer'; ttlSeconds: number }) => answer(api.POST('/api-tokens', { body: input })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.tokens }),
  })
}

export function useRevokeToken() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (id: string) => answer(api.DELETE('/api-tokens/{id}', { params: { path: { id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.tokens }),
  })
}

export function useChangePassword() {
  return useMutation({
    mutationFn: (input: { current: string; password: string }) => answer(api.PUT('/session/password', { body: input })),
  })
}
