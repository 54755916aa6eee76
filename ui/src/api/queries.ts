import { queryOptions } from '@tanstack/react-query'
import { answer, api, ApiProblem, setCsrf } from './client'
import type { Me } from './model'
import { noteLeader } from './reach'

/** First parts of query keys; events.ts names them when something changed. */
export const keys = {
  session: ['session'],
  setup: ['setup'],
  status: ['status'],
  cluster: ['cluster'],
  apps: ['apps'],
  services: ['services'],
  containers: ['containers'],
  images: ['images'],
  nodes: ['nodes'],
  quorum: ['quorum'],
  joinTokens: ['join-tokens'],
  volumes: ['volumes'],
  events: ['events'],
  environments: ['environments'],
  tokens: ['tokens'],
  sessions: ['sessions'],
  registry: ['registry'],
  repositories: ['repositories'],
  upstreams: ['upstreams'],
  users: ['users'],
  tenants: ['tenants'],
  certificate: ['certificate'],
} as const

/** At most so many rows are asked for at once; a list that is longer says so. */
export const page = 1_000

/** How often a node that is cut off is asked whether it still is, in ms. */
const probing = 5_000

/**
 * Who is signed in; null when nobody is. A node that is cut off cannot know and refuses; this question alone goes on then and
 * finds out when it is over (the others wait, ReachBanner).
 */
export const sessionQuery = queryOptions({
  queryKey: keys.session,
  queryFn: async ({ signal }): Promise<Me | null> => {
    try {
      const me = await answer(api.GET('/session', { signal }))
      setCsrf(me.csrf)
      return me
    } catch (error) {
      if (error instanceof ApiProblem && error.status === 401) return null
      throw error
    }
  },
  staleTime: 60_000,
  networkMode: 'always',
  refetchInterval: ({ state: { error } }) => (error instanceof ApiProblem && error.code === 'cut_off' ? probing : false),
  retry: (failures, error) => !(error instanceof ApiProblem && error.status > 0) && failures < 3,
})

export const setupQuery = queryOptions({
  queryKey: keys.setup,
  queryFn: ({ signal }) => answer(api.GET('/setup', { signal })),
})

/** The status is also asked every five seconds, because the nodes' load makes no events. */
export const statusQuery = queryOptions({
  queryKey: keys.status,
  queryFn: ({ signal }) => answer(api.GET('/status', { signal })),
  refetchInterval: 5_000,
})

export const clusterQuery = queryOptions({
  queryKey: keys.cluster,
  queryFn: ({ signal }) => answer(api.GET('/cluster', { signal })),
  staleTime: 300_000,
})

export const appsQuery = queryOptions({
  queryKey: keys.apps,
  queryFn: ({ signal }) => answer(api.GET('/apps', { params: { query: { limit: page } }, signal })),
})

export const appQuery = (ref: string) =>
  queryOptions({
    queryKey: [...keys.apps, ref],
    queryFn: ({ signal }) => answer(api.GET('/apps/{ref}', { params: { path: { ref } }, signal })),
  })

/** The services of an app, or all of them. */
export const servicesQuery = (app?: string) =>
  queryOptions({
    queryKey: [...keys.services, { app }],
    queryFn: ({ signal }) => answer(api.GET('/services', { params: { query: { app, limit: page } }, signal })),
  })

export const serviceQuery = (ref: string) =>
  queryOptions({
    queryKey: [...keys.services, ref],
    queryFn: ({ signal }) => answer(api.GET('/services/{ref}', { params: { path: { ref } }, signal })),
  })

export const containersQuery = (filter: { app?: string; node?: string }) =>
  queryOptions({
    queryKey: [...keys.containers, filter],
    queryFn: ({ signal }) => answer(api.GET('/containers', { params: { query: { ...filter, limit: page } }, signal })),
  })

/** A running container's figures, measured anew every three seconds while they are shown. */
export const containerStatsQuery = (ref: string) =>
  queryOptions({
    queryKey: ['container-stats', ref],
    queryFn: ({ signal }) => answer(api.GET('/containers/{ref}/stats', { params: { path: { ref } }, headers: { Accept: 'application/json' }, signal })),
    refetchInterval: 3_000,
    retry: false,
    gcTime: 10_000,
  })

export const imagesQuery = queryOptions({
  queryKey: keys.images,
  queryFn: ({ signal }) => answer(api.GET('/images', { params: { query: { limit: page } }, signal })),
})

export const imageQuery = (ref: string) =>
  queryOptions({
    queryKey: [...keys.images, ref],
    queryFn: ({ signal }) => answer(api.GET('/images/{ref}', { params: { path: { ref } }, signal })),
  })

export const nodesQuery = queryOptions({
  queryKey: keys.nodes,
  queryFn: ({ signal }) => answer(api.GET('/nodes', { params: { query: { limit: page } }, signal })),
})

export const nodeQuery = (ref: string) =>
  queryOptions({
    queryKey: [...keys.nodes, ref],
    queryFn: ({ signal }) => answer(api.GET('/nodes/{ref}', { params: { path: { ref } }, signal })),
  })

export const nodeStatsQuery = (ref: string) =>
  queryOptions({
    queryKey: ['node-stats', ref],
    queryFn: ({ signal }) => answer(api.GET('/nodes/{ref}/stats', { params: { path: { ref } }, headers: { Accept: 'application/json' }, signal })),
    refetchInterval: 2_000,
    retry: false,
  })

/**
 * The members and who leads; asked every five seconds too, because how far each is behind makes no events. A node that is cut
 * off answers it as well.
 */
export const quorumQuery = queryOptions({
  queryKey: keys.quorum,
  queryFn: async ({ signal }) => {
    const quorum = await answer(api.GET('/cluster/quorum', { signal }))
    noteLeader(quorum.leaderId !== '' && quorum.canLose >= 0)
    return quorum
  },
  refetchInterval: 5_000,
  networkMode: 'always',
  retry: false,
})

export const volumesQuery = queryOptions({
  queryKey: keys.volumes,
  queryFn: ({ signal }) => answer(api.GET('/volumes', { params: { query: { limit: page } }, signal })),
})

export const eventsQuery = (filter: { app?: string; kind?: string; object?: string; warnings?: boolean; limit: number }) =>
  queryOptions({
    queryKey: [...keys.events, filter],
    queryFn: ({ signal }) => answer(api.GET('/events', { params: { query: filter }, headers: { Accept: 'application/json' }, signal })),
  })

export const environmentsQuery = queryOptions({
  queryKey: keys.environments,
  queryFn: ({ signal }) => answer(api.GET('/environments', { signal })),
  staleTime: 300_000,
})
