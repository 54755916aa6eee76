import type { Upstream } from '@/api/model'
import type { UpstreamWish } from './queries'

/** What the form holds. */
export interface UpstreamValues {
  name: string
  endpoints: string[]
  username: string
  password: string
  /** The password that is kept on the server shall be removed. */
  forget: boolean
  ca: string
  proxy: string
  tenantIds: string[]
  disabled: boolean
}

export function valuesOf(upstream?: Upstream): UpstreamValues {
  const spec = upstream?.spec ?? {}
  return { name: upstream?.name ?? '', endpoints: spec.endpoints ?? [], username: spec.username ?? '', password: '', forget: false, ca: spec.ca ?? '', proxy: spec.proxy ?? '', tenantIds: spec.tenantIds ?? [], disabled: spec.disabled ?? false }
}

/** What is sent: empty fields are left out, and a password that was not typed stays as it is. */
export function wishOf(values: UpstreamValues): UpstreamWish {
  const endpoints = values.endpoints.map((endpoint) => endpoint.trim()).filter(Boolean)
  return {
    name: values.name.trim(),
    spec: {
      endpoints: endpoints.length > 0 ? endpoints : undefined,
      username: values.username.trim() || undefined,
      ca: values.ca.trim() ? `${values.ca.trim()}\n` : undefined,
      proxy: values.proxy.trim() || undefined,
      tenantIds: values.tenantIds.length > 0 ? values.tenantIds : undefined,
      disabled: values.disabled || undefined,
    },
    password: values.password ? values.password : values.forget ? '' : undefined,
  }
}

/** A host as it stands in image names: with a dot, a port, or localhost; never a URL. */
export const hostName = /^(?:localhost(?::\d{1,5})?|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?:\.[a-z0-9-]+)+(?::\d{1,5})?|[a-z0-9][a-z0-9-]*:\d{1,5}|\[[0-9a-f:]+\](?::\d{1,5})?)$/i

export function isBaseUrl(text: string, schemes: readonly string[]): boolean {
  try {
    const url = new URL(text)
    return schemes.includes(url.protocol.replace(':', '')) && url.hostname !== ''
  } catch {
    return false
  }
}

/** Moves a row of a list up or down; out of its ends nothing moves. */
export function moved<T>(list: T[], from: number, by: 1 | -1): T[] {
  const to = from + by
  const next = [...list]
  const row = next[from]
  const other = next[to]
  if (row === undefined || other === undefined) return list
  next[from] = other
  next[to] = row
  return next
}
