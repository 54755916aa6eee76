import type { ConditionLike } from '@/shared/ui/Conditions'
import type { StatusWord } from '@/shared/lib/status'
import type { App, Condition, Container, Node, Phase, Service } from './model'

/** The word for an app's phase. A phase that this console does not know is unknown, not wrong. */
export function appWord(app: App): StatusWord {
  if (app.removing) return 'removing'
  const words: Record<App['status']['phase'], StatusWord> = {
    running: 'running',
    starting: 'starting',
    degraded: 'degraded',
    stopped: 'stopped',
    stopping: 'stopping',
    completed: 'completed',
    failed: 'failed',
    removing: 'removing',
  }
  return words[app.status.phase] ?? 'unknown'
}

/** The word for a service: what its own status and its containers say. */
export function serviceWord(service: Service, containers: readonly Container[]): StatusWord {
  if (service.removing) return 'removing'
  const { running, conditions } = service.status
  if (service.stopped) return running > 0 ? 'stopping' : 'stopped'
  if (running >= service.spec.replicas) return service.spec.replicas === 0 ? 'stopped' : 'running'
  const own = containers.filter((container) => container.serviceId === service.id)
  const words = own.map(containerWord)
  if (own.length > 0 && own.every(({ intent }) => intent.stopped)) return 'stopped'
  if ((conditions && conditions.length > 0) || words.includes('failed')) return running > 0 ? 'degraded' : 'failed'
  if (words.length > 0 && words.every((word) => word === 'completed')) return 'completed'
  return 'starting'
}

/** The word for a container's phase. One that ended by itself is completed with 0 and failed otherwise. */
export function containerWord(container: Container): StatusWord {
  if (container.assign.remove) return 'removing'
  const { phase, exitCode } = container.status
  const words: Record<Phase, StatusWord> = {
    pending: 'starting',
    preparing: 'starting',
    starting: 'starting',
    running: 'running',
    stopping: 'stopping',
    exited: container.intent.stopped ? 'stopped' : exitCode ? 'failed' : 'completed',
    backoff: 'failed',
    failed: 'failed',
  }
  return words[phase] ?? 'unknown'
}

/** What a node is able to do: the leader's word that it is down stands above what it last said of itself. */
export type NodeHealthWord = 'up' | 'joining' | 'notReady' | 'down'

export function nodeHealth({ health, status }: Node): NodeHealthWord {
  if (health?.state === 'down') return 'down'
  if (status.ready) return 'up'
  // A node that joined has not told its version until it reports for the first time.
  return status.skerryVersion ? 'notReady' : 'joining'
}

/** The word for a node. */
export function nodeWord(node: Node): StatusWord {
  const health = nodeHealth(node)
  if (health === 'joining') return 'starting'
  if (health !== 'up') return 'failed'
  if (node.spec.availability === 'drain') return 'draining'
  return node.status.conditions?.length ? 'degraded' : 'running'
}

/** Why a node is not as asked: the leader's sentence, else its own. */
export function nodeReason({ health, status }: Node): string {
  return (health?.state === 'down' ? health.reason : undefined) ?? status.conditions?.[0]?.message ?? ''
}

/** Why a container has no node yet; undefined where it has one. */
export function waitingReason({ assign }: Container): string | undefined {
  return assign.nodeId || assign.remove ? undefined : (assign.reason ?? '')
}

/** A condition as it is shown. The contract gives no severity: what hinders the object decides. */
export function shownCondition(condition: Condition, severity: ConditionLike['severity'], about?: string): ConditionLike {
  return { type: condition.type, reason: condition.reason, sentence: condition.message, about, severity, since: condition.since }
}

/** Why a container is not as asked: that it waits for a node, then its own conditions. */
export function containerConditions(container: Container, about?: string): ConditionLike[] {
  const severity = containerWord(container) === 'failed' ? 'error' : 'warning'
  const own = (container.status.conditions ?? []).map((condition) => shownCondition(condition, severity, about))
  const waits = waitingReason(container)
  if (!waits || own.some(({ sentence }) => sentence === waits)) return own
  return [{ type: 'Placed', reason: 'WaitingForNode', sentence: waits, about, severity: 'warning' }, ...own]
}
