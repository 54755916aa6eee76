import { useQuery } from '@tanstack/react-query'
import type { Me } from './model'
import { sessionQuery } from './queries'
import { useScopeTenant } from './scope'

/** Tells whether a person may do this on the platform or in the tenant given; the server decides again at each request. */
export function may(me: Me | null | undefined, permission: string, tenant: string): boolean {
  if (!me) return false
  if (me.permissions.includes(permission)) return true
  const present = me.tenants.find(({ id, name }) => id === tenant || name === tenant) ?? me.tenants.find(({ id }) => id === me.defaultTenant) ?? me.tenants[0]
  return present?.permissions.includes(permission) ?? false
}

/** Tells whether the person who is signed in may do this in the tenant that the console looks at. */
export function useMay(): (permission: string) => boolean {
  const session = useQuery(sessionQuery)
  const tenant = useScopeTenant()
  return (permission) => may(session.data, permission, tenant)
}
