import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { remedyFor, type ObjectRef } from '@/api/links'
import type { App, Container, Service } from '@/api/model'
import { containerConditions, shownCondition } from '@/api/status'
import type { ConditionLike } from '@/shared/ui/Conditions'

/** Everything that says why an app (or one service of it) is not as asked: its own conditions, its services' and its containers', each sentence once. */
export function gather(app: App | null, services: Service[], containers: Container[]): ConditionLike[] {
  const severity = app?.status.phase === 'failed' || (app === null && services.every(({ status }) => status.running === 0)) ? 'error' : 'warning'
  const found = [
    ...(app?.status.conditions ?? []).map((condition) => shownCondition(condition, severity)),
    ...services.flatMap((service) => (service.status.conditions ?? []).map((condition) => shownCondition(condition, severity, services.length > 1 ? service.name : undefined))),
    ...containers.flatMap((container) => containerConditions(container, container.name)),
  ]
  const once = new Map<string, ConditionLike>()
  for (const condition of found) if (!once.has(condition.reason + condition.sentence)) once.set(condition.reason + condition.sentence, condition)
  // Fifty containers with the same trouble are one trouble; more kinds than these help nobody to begin.
  return [...once.values()].slice(0, 5).map((condition) => ({ ...condition, remedy: <RemedyLink reason={condition.reason} about={{ kind: 'app', id: app?.id ?? services[0]?.appId ?? '' }} /> }))
}

/** Leads to where something can be done about a problem; nothing where no such place is known. */
export function RemedyLink({ reason, about }: { reason: string; about: ObjectRef }) {
  const { t } = useTranslation()
  const remedy = remedyFor(reason, about)
  return remedy ? <Link to={remedy.to}>{t(`remedy.${remedy.key}`)}</Link> : null
}
