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
const pages: Record<string, (ref: ObjectRef) => string | undefined> = {
  app: at('apps'),
  service: at('services'),
  container: (ref) => (ref.appId ? `/apps/${encodeURIComponent(ref.appId)}` : undefined),
  node: at('nodes'),
  image: (ref) => (ref.name ? `/images?q=${encodeURIComponent(ref.name)}` : undefined),
}

/** The path of an object's page; undefined where its kind has none. */
export function objectPath(ref: ObjectRef): string | undefined {
  return ref.id === '' ? undefined : pages[ref.kind]?.(ref)
}
