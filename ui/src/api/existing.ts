import { useQuery } from '@tanstack/react-query'
import { objectPath, type ObjectRef } from './links'
import { appsQuery, containersQuery, nodesQuery, servicesQuery } from './queries'

/** What a list says of an object: whether it is there; undefined while that is not known, or the list is not whole. */
function holds(list: { items: { id: string }[]; nextCursor?: string } | undefined, id: string): boolean | undefined {
  if (!list) return undefined
  return list.items.some((item) => item.id === id) ? true : list.nextCursor ? undefined : false
}

/**
 * Leads to objects that are still there. Events outlive what they are about: an object that is known to be gone has no link,
 * and one of which nothing is known yet gets its link when it is. A container leads to its app where it is gone itself.
 */
export function useExistingLink(of: readonly ObjectRef[] | undefined): (ref: ObjectRef) => string | undefined {
  const asked = (kind: string) => of?.some((ref) => ref.kind === kind) ?? false
  const apps = useQuery({ ...appsQuery, enabled: of?.some(({ kind, appId }) => kind === 'app' || appId) ?? false })
  const services = useQuery({ ...servicesQuery(), enabled: asked('service') })
  const containers = useQuery({ ...containersQuery({}), enabled: asked('container') })
  const nodes = useQuery({ ...nodesQuery, enabled: asked('node') })
  return (ref) => {
    const path = objectPath(ref)
    if (!path) return undefined
    const there =
      ref.kind === 'app' ? holds(apps.data, ref.id) : ref.kind === 'service' ? holds(services.data, ref.id) : ref.kind === 'container' ? holds(containers.data, ref.id) : ref.kind === 'node' ? holds(nodes.data, ref.id) : true
    if (there) return path
    if (there === false && ref.kind !== 'app' && ref.appId && holds(apps.data, ref.appId)) return objectPath({ kind: 'app', id: ref.appId })
    return undefined
  }
}
