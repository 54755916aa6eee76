/** What leads to an object: a search hit, an event's object, a problem's object. */
export interface ObjectRef {
  kind: string
  id: string
  name?: string
  /** The app that the object is a part of. */
  appId?: string
}

const at = (page: string) => (ref: ObjectRef) => `/${page}/${encodeURIComponent(ref.id)}`

/** The page of each kind of object; app/routes.test.tsx holds each to a route. */
const pages: Record<string, (ref: ObjectRef) => string> = {
  app: at('apps'),
  service: at('services'),
  container: at('containers'),
  image: at('images'),
  repository: at('repositories'),
  volume: at('volumes'),
  node: at('nodes'),
  user: (ref) => (ref.name ? `/users?q=${encodeURIComponent(ref.name)}` : '/users'),
}

/** The path of an object's page; undefined where its kind has none. */
export function objectPath(ref: ObjectRef): string | undefined {
  return ref.id === '' ? undefined : pages[ref.kind]?.(ref)
}

/** What helps against a reason code, and where it is done. */
export interface Remedy {
  key: 'limit' | 'log' | 'change' | 'images' | 'node' | 'volumes'
  to: string
}

/** The page where something can be done about a problem of an app, a service or a node; undefined where none is known. */
export function remedyFor(reason: string, ref: ObjectRef): Remedy | undefined {
  const app = ref.kind === 'app' ? ref.id : ref.appId
  if (app) {
    const at = `/apps/${encodeURIComponent(app)}`
    if (reason === 'OutOfMemory') return { key: 'limit', to: `${at}/edit?by=form` }
    if (['CommandNotFound', 'CommandNotExecutable', 'ImageMissing', 'VolumeFailed'].includes(reason)) return { key: 'change', to: `${at}/edit` }
    if (['Exited', 'NotRunning', 'Failed', 'StartFailed'].includes(reason)) return { key: 'log', to: `${at}?tab=logs` }
  }
  if (reason === 'DiskNearlyFull') return { key: 'images', to: '/images' }
  if (ref.kind === 'node' && ref.id) return { key: 'node', to: `/nodes/${encodeURIComponent(ref.id)}` }
  return undefined
}
