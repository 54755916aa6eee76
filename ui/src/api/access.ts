import { useQuery } from '@tanstack/react-query'
import type { Me } from './model'
import { sessionQuery } from './queries'
import { useScopeTenant } from './scope'

/** The permissions that the console asks about, as x-skerry-permission names them. */
export type Permission = 'platform.read' | 'platform.write' | 'tenant.write' | 'tenant.people' | 'image.write' | 'app.write'

/** The tenant that the console looks at: the chosen one, else the one that the server takes when none is named. */
export function tenantInView(me: Me, chosen: string): Me['tenants'][number] | undefined {
  const id = chosen || me.defaultTenant || me.tenants[0]?.id
  return me.tenants.find((tenant) => tenant.id === id)
}

/**
 * Whether a person may do something, on the platform or in a tenant (default: the one in view). It decides only what is
 * offered: the server decides what is done.
 */
export function may(me: Me | null | undefined, permission: Permission, tenant = ''): boolean {
  if (!me) return false
  if (permission.startsWith('platform.')) return me.permissions.includes(permission)
  if (me.permissions.includes('platform.write')) return true
  return tenantInView(me, tenant)?.permissions.includes(permission) ?? false
}

/** `may` for the person who is signed in. */
export function useMay(): (permission: Permission, tenant?: string) => boolean {
  const me = useQuery(sessionQuery).data
  const chosen = useScopeTenant()
  return (permission, tenant = chosen) => may(me, permission, tenant)
}

/** The tenant in view of the person who is signed in. */
export function useTenantInView(): Me['tenants'][number] | undefined {
  const me = useQuery(sessionQuery).data
  const chosen = useScopeTenant()
  return me ? tenantInView(me, chosen) : undefined
}
