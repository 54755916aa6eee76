import type { ConditionLike } from '@/shared/ui/Conditions'
import type { StatusWord } from '@/shared/lib/status'
import type { App, Condition, Container, Phase, Service } from './model'

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

/** A condition as it is shown. The contract gives no severity: what hinders the object decides. */
export function shownCondition(condition: Condition, severity: ConditionLike['severity'], about?: string): ConditionLike {
  return { type: condition.type, reason: condition.reason, sentence: condition.message, about, severity, since: condition.since }
}
