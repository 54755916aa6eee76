import type { QueryClient } from '@tanstack/react-query'
import { readEventStream } from '@/shared/lib/sse'
import { address, dress, learn } from './client'
import type { Change, EventEntry } from './model'
import { problemOf } from './problem'
import { keys } from './queries'

/** Whether the console sees what happens: `lost` is shown, and heals by itself. */
export type Connection = 'connecting' | 'live' | 'lost'

let connection: Connection = 'connecting'
const listeners = new Set<() => void>()

export function currentConnection(): Connection {
  return connection
}

export function subscribeConnection(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

function become(next: Connection) {
  if (connection === next) return
  connection = next
  for (const listener of listeners) listener()
}

/** Which queries a change of each kind of object makes stale. */
const touched: Record<string, (change: { id: string }) => readonly (readonly unknown[])[]> = {
  app: () => [keys.apps, keys.services, keys.status],
  service: () => [keys.services, keys.apps, keys.status],
  container: () => [keys.containers, keys.services, keys.apps, keys.status],
  image: () => [keys.images, keys.repositories, keys.status],
  volume: () => [keys.volumes, keys.status],
  node: () => [keys.nodes, keys.quorum, keys.status],
  port: () => [keys.apps, keys.services],
  repository: () => [keys.repositories, keys.registry],
  upstream: () => [keys.upstreams],
  user: () => [keys.users, keys.tenants],
  tenant: () => [keys.tenants],
}

/** How long a round of requests may take, in ms, before the next one no longer waits for it. */
const patience = 10_000

/**
 * Gathers what became stale and tells the cache at most every 200 ms, however many changes a burst brings. A round waits
 * for the one before: asking again ends the request that is under way, so a long list under constant events would never arrive.
 */
export class Invalidator {
  private stale = new Map<string, readonly unknown[]>()
  private timer: ReturnType<typeof setTimeout> | undefined
  private asking = false

  constructor(private readonly queries: Pick<QueryClient, 'invalidateQueries'>) {}

  add(wanted: readonly (readonly unknown[])[]) {
    for (const key of wanted) this.stale.set(JSON.stringify(key), key)
    this.plan()
  }

  private plan() {
    if (this.asking || this.stale.size === 0) return
    this.timer ??= setTimeout(() => void this.round(), 200)
  }

  private async round() {
    this.timer = undefined
    const now = [...this.stale.values()]
    this.stale.clear()
    this.asking = true
    const answered = Promise.allSettled(now.map((queryKey) => this.queries.invalidateQueries({ queryKey })))
    await Promise.race([answered, new Promise((resolve) => setTimeout(resolve, patience))])
    this.asking = false
    this.plan()
  }

  stop() {
    clearTimeout(this.timer)
    this.timer = undefined
    this.stale.clear()
  }
}

/**
 * Follows the cluster's events until stopped and makes stale queries be asked again. A lost stream is opened anew after
 * 1, 2, 4 ... at most 15 seconds, or at once when the browser comes back online or the page is looked at again; it goes on
 * after the last event seen, and everything on the page is asked again once, so nothing that happened meanwhile is missed.
 */
export function followEvents(queries: QueryClient): () => void {
  const stopped = new AbortController()
  void run(queries, stopped.signal)
  return () => {
    stopped.abort()
    become('connecting')
  }
}

async function run(queries: QueryClient, signal: AbortSignal) {
  const invalidator = new Invalidator(queries)
  signal.addEventListener('abort', () => invalidator.stop())
  let lastId = ''
  let failures = 0
  let missed = false
  while (!signal.aborted) {
    // A dead stream may look open for long: it is given up when the browser goes offline or a request finds nobody.
    const cut = new AbortController()
    const giveUp = () => cut.abort()
    addEventListener('offline', giveUp)
    addEventListener('skerry-doubt', giveUp)
    try {
      const request = dress(new Request(address('/events', { follow: true }), { headers: { Accept: 'text/event-stream' }, signal: AbortSignal.any([signal, cut.signal]) }))
      if (lastId) request.headers.set('Last-Event-ID', lastId)
      const response = await fetch(request)
      learn(response, true)
      if (response.status === 401) {
        void queries.invalidateQueries({ queryKey: keys.session })
        return
      }
      if (!response.ok) throw await problemOf(response)
      failures = 0
      become('live')
      if (missed) void queries.invalidateQueries()
      for await (const event of readEventStream(response)) {
        if (event.id) lastId = event.id
        if (event.event === 'change') {
          const change = JSON.parse(event.data) as Change
          invalidator.add(touched[change.kind]?.(change) ?? [])
        } else if (event.event === 'event') {
          const entry = JSON.parse(event.data) as EventEntry
          invalidator.add([keys.events, ...(touched[entry.kind]?.({ id: entry.objectId }) ?? [])])
        }
      }
    } catch {
      // Whatever ended the stream, the answer is the same: say so and try again.
    } finally {
      removeEventListener('offline', giveUp)
      removeEventListener('skerry-doubt', giveUp)
    }
    if (signal.aborted) return
    missed = true
    become('lost')
    await pause(Math.min(15_000, 1_000 * 2 ** failures++), signal)
  }
}

/** Waits, but not longer than until there is reason to hope. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      removeEventListener('online', done)
      removeEventListener('skerry-retry', done)
      document.removeEventListener('visibilitychange', seen)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const seen = () => {
      if (!document.hidden) done()
    }
    const timer = setTimeout(done, ms)
    addEventListener('online', done)
    addEventListener('skerry-retry', done)
    document.addEventListener('visibilitychange', seen)
    signal.addEventListener('abort', done)
  })
}

/** Says that a request got no answer: the stream is then opened anew, which tells whether anybody is there. */
export function doubtConnection() {
  dispatchEvent(new Event('skerry-doubt'))
}

/** Ends the present wait for a new try. */
export function retryNow() {
  dispatchEvent(new Event('skerry-retry'))
}
