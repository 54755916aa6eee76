import type { Container } from '@/api/model'
import { containerWord } from '@/api/status'
import { shortImage } from '@/shared/lib/image'
import { statusWords, type StatusWord } from '@/shared/lib/status'

/** What the list is narrowed and sorted by; all of it is in the address. */
export interface ListState {
  q: string
  status: string
  app: string
  node: string
  sort: string
  down: boolean
}

export const sortKeys = ['name', 'image', 'service', 'node', 'age'] as const

/** The states that a container's list offers to filter by. */
export const containerWords: StatusWord[] = statusWords.filter((word) => ['running', 'starting', 'stopping', 'failed', 'stopped', 'completed', 'removing'].includes(word))

export function readState(search: URLSearchParams): ListState {
  const sort = search.get('sort') ?? ''
  const key = sort.replace(/^-/, '')
  const known = (sortKeys as readonly string[]).includes(key)
  return { q: search.get('q') ?? '', status: search.get('status') ?? '', app: search.get('app') ?? '', node: search.get('node') ?? '', sort: known ? key : 'name', down: known && sort.startsWith('-') }
}

/** The rows that fit, in order. Rows never change places because of what moves (state, load); names break ties. */
export function select(containers: readonly Container[], state: ListState): Container[] {
  const wanted = state.q.trim().toLowerCase()
  const fits = (container: Container) =>
    (!state.status || containerWord(container) === state.status) &&
    (!state.app || container.appName === state.app) &&
    (!state.node || container.assign.nodeId === state.node) &&
    (!wanted || container.name.toLowerCase().includes(wanted) || container.id.startsWith(wanted) || shortImage(container.spec.image).toLowerCase().includes(wanted) || (container.assign.address ?? '').startsWith(wanted))
  const text: Record<string, (container: Container) => string> = {
    name: ({ name }) => name,
    image: ({ spec }) => shortImage(spec.image),
    service: ({ appName, serviceName }) => `${appName}/${serviceName}`,
    node: ({ assign }) => assign.nodeId ?? '',
    age: ({ createdAt }) => createdAt,
  }
  const of = text[state.sort] ?? text.name
  const collator = new Intl.Collator(undefined, { numeric: true })
  const key = new Map(containers.map((container) => [container, of?.(container) ?? '']))
  return containers.filter(fits).sort((a, b) => (state.down ? -1 : 1) * collator.compare(key.get(a) ?? '', key.get(b) ?? '') || collator.compare(a.name, b.name))
}

/** What removing some containers does, by the server's rule: the only container of an app takes the app with it, any other is replaced. */
export function removal(chosen: readonly Container[], all: readonly Container[]): { apps: string[]; replaced: number; running: number } {
  const ofApp = new Map<string, number>()
  for (const { appId } of all) ofApp.set(appId, (ofApp.get(appId) ?? 0) + 1)
  const alone = chosen.filter(({ appId }) => ofApp.get(appId) === 1)
  return { apps: alone.map(({ appName }) => appName), replaced: chosen.length - alone.length, running: chosen.filter(({ status }) => status.phase === 'running').length }
}
