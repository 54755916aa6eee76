import { useSyncExternalStore } from 'react'

/**
 * Which tenant the console looks at. Empty means the caller's own, which the server knows. Every request that is scoped to
 * a tenant carries it (client.ts); whoever changes it clears the query cache.
 */
let tenant = ''
const listeners = new Set<() => void>()

export function scopeTenant(): string {
  return tenant
}

export function setScopeTenant(next: string) {
  tenant = next
  for (const listener of listeners) listener()
}

export function useScopeTenant(): string {
  return useSyncExternalStore((listener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }, scopeTenant)
}

const scoped = /^\/(apps|services|containers|images|image-imports|image-pulls|repositories|volumes|ports|events|audit|status|compose|app-plans|search|repositories)(\/|$)/

/** Tells whether the operation at this path (without /api/v1) takes `?tenant=`. */
export function isScoped(path: string): boolean {
  return scoped.test(path)
}
