import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { answer, api } from './client'
import type { Me, Role } from './model'
import { keys, page, sessionQuery } from './queries'
import { useScopeTenant } from './scope'

// Queries that more than one of the pages about images, repositories, people and settings ask.

/** How clients reach and trust the registry, and what it stores. */
export const registryQuery = queryOptions({
  queryKey: keys.registry,
  queryFn: ({ signal }) => answer(api.GET('/registry', { signal })),
})

export const repositoriesQuery = queryOptions({
  queryKey: keys.repositories,
  queryFn: ({ signal }) => answer(api.GET('/repositories', { params: { query: { limit: page } }, signal })),
})

export const tenantsQuery = queryOptions({
  queryKey: keys.tenants,
  queryFn: ({ signal }) => answer(api.GET('/tenants', { params: { query: { limit: page } }, signal })),
})

export const usersQuery = queryOptions({
  queryKey: keys.users,
  queryFn: ({ signal }) => answer(api.GET('/users', { params: { query: { limit: page } }, signal })),
})

export interface TokenInput {
  name: string
  role: Role
  tenant?: string
  ttlSeconds: number
}

/** Makes an API token. Its secret is in the answer and nowhere else. */
export function useCreateToken() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (input: TokenInput) => answer(api.POST('/api-tokens', { body: input })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.tokens }),
  })
}

/** The tenant that the console looks at: the chosen one, else the one that the server takes when none is named. */
export function useTenantInView(): Me['tenants'][number] | undefined {
  const me = useQuery(sessionQuery).data
  const chosen = useScopeTenant() || me?.defaultTenant
  return me?.tenants.find((tenant) => tenant.id === chosen) ?? me?.tenants[0]
}
