import type { QueryClient } from '@tanstack/react-query'
import { useSyncExternalStore } from 'react'

/**
 * Which tenant and which environment the console looks at. Empty means the caller's own tenant, which the server knows, and
 * every environment. Every request that is scoped to a tenant carries it (client.ts); whoever changes it clears the query
 * cache. It holds for this tab, reloads included.
 */
export interface Scope {
  tenant: string
  environment: string
}

const slot = 'skerry.scope'

function initial(): Scope {
  try {
    const kept = JSON.parse(sessionStorage.getItem(slot) ?? '{}') as Partial<Scope>
    return { tenant: typeof kept.tenant === 'string' ? kept.tenant : '', environment: typeof kept.environment === 'string' ? kept.environment : '' }
  } catch {
    return { tenant: '', environment: '' }
  }
}

let scope = initial()
const listeners = new Set<() => void>()

function change(next: Scope) {
  scope = next
  try {
    sessionStorage.setItem(slot, JSON.stringify(next))
  } catch {
    // Storage refused: the choice holds until the page is left.
  }
  for (const listener of listeners) listener()
}

export function scopeTenant(): string {
  return scope.tenant
}

/** Looks at another tenant; the environment is chosen anew there. */
export function setScopeTenant(tenant: string) {
  if (tenant !== scope.tenant) change({ tenant, environment: '' })
}

/** Looks at one environment, by id; empty is all of them. */
export function setScopeEnvironment(environment: string) {
  change({ ...scope, environment })
}

/** What does not depend on the tenant, by the first part of its query key (queries.ts, which cannot be imported here). */
const everywhere = new Set<unknown>(['session', 'environments', 'cluster'])

/** Looks at another tenant. What another tenant's lists held must not be seen for even a moment; the session stays. */
export function chooseTenant(queries: QueryClient, tenant: string) {
  setScopeTenant(tenant)
  const predicate = (query: { queryKey: readonly unknown[] }) => !everywhere.has(query.queryKey[0])
  queries.removeQueries({ type: 'inactive', predicate })
  void queries.resetQueries({ predicate })
}

function subscribe(listener: () => void) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function useScopeTenant(): string {
  return useSyncExternalStore(subscribe, scopeTenant)
}

/** The id of the environment looked at; empty is all of them. */
export function useScopeEnvironment(): string {
  return useSyncExternalStore(subscribe, () => scope.environment)
}

const scoped = /^\/(apps|services|containers|images|image-imports|image-pulls|volumes|ports|events|audit|status|compose|app-plans|search|repositories)(\/|$)/

/** Tells whether the operation at this path (without /api/v1) takes `?tenant=`. */
export function isScoped(path: string): boolean {
  return scoped.test(path)
}
