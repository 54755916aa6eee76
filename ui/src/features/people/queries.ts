import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api, ifMatch } from '@/api/client'
import type { Role, Tenant, User } from '@/api/model'
import { keys } from '@/api/queries'

export const tenantQuery = (ref: string) =>
  queryOptions({
    queryKey: [...keys.tenants, ref],
    queryFn: ({ signal }) => answer(api.GET('/tenants/{ref}', { params: { path: { ref } }, signal })),
  })

export const membersQuery = (ref: string) =>
  queryOptions({
    queryKey: [...keys.tenants, ref, 'members'],
    queryFn: ({ signal }) => answer(api.GET('/tenants/{ref}/members', { params: { path: { ref } }, signal })),
  })

function useRefresh() {
  const queries = useQueryClient()
  return async () => {
    await Promise.all([keys.users, keys.tenants, keys.session].map((queryKey) => queries.invalidateQueries({ queryKey })))
  }
}

export function useCreateUser() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (input: { name: string; password?: string; spec: User['spec'] }) => answer(api.POST('/users', { body: input })),
    onSettled: refresh,
  })
}

export function useUpdateUser(user: User) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (spec: User['spec']) => answer(api.PUT('/users/{ref}', { params: { path: { ref: user.id }, header: ifMatch(user.version) }, body: spec })),
    onSettled: refresh,
  })
}

export function useDisableUser(user: User) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (disable: boolean) => answer(disable ? api.POST('/users/{ref}/disable', { params: { path: { ref: user.id } } }) : api.POST('/users/{ref}/enable', { params: { path: { ref: user.id } } })),
    onSettled: refresh,
  })
}

export function useRemoveUser(user: User) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: () => answer(api.DELETE('/users/{ref}', { params: { path: { ref: user.id }, header: ifMatch(user.version) } })),
    onSettled: refresh,
  })
}

export function useResetPassword(user: User) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (password: string) => answer(api.PUT('/users/{ref}/password', { params: { path: { ref: user.id } }, body: { password } })),
    onSettled: refresh,
  })
}

export function useSaveTenant(tenant?: Tenant) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ name, displayName }: { name: string; displayName: string }) =>
      tenant
        ? answer(api.PUT('/tenants/{ref}', { params: { path: { ref: tenant.id }, header: ifMatch(tenant.version) }, body: { ...tenant.spec, displayName } }))
        : answer(api.POST('/tenants', { body: { name, spec: { displayName: displayName || undefined } } })),
    onSettled: refresh,
  })
}

export function useRemoveTenant(tenant: Tenant) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: () => answer(api.DELETE('/tenants/{ref}', { params: { path: { ref: tenant.id }, header: ifMatch(tenant.version) } })),
    onSettled: refresh,
  })
}

export function useSetMember(tenant: string) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ user, role }: { user: string; role: Role }) => answer(api.PUT('/tenants/{ref}/members/{user}', { params: { path: { ref: tenant, user } }, body: { role } })),
    onSettled: refresh,
  })
}

export function useRemoveMember(tenant: string) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (user: string) => answer(api.DELETE('/tenants/{ref}/members/{user}', { params: { path: { ref: tenant, user } } })),
    onSettled: refresh,
  })
}
