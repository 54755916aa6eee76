import { Skeleton } from 'antd'
import { useTranslation } from 'react-i18next'
import { Sentence } from './Sentence'
import { Time } from './Time'

/** One thing that happened. */
export interface EventLike {
  seq: number
  time: string
  kind: string
  objectId: string
  object: string
  reason: string
  message: string
  warning?: boolean
}

/** Events, newest first, as sentences. */
export function EventList({ events, objectLink }: { events: EventLike[] | undefined; objectLink?: (kind: string, id: string) => string | undefined }) {
  const { t } = useTranslation()
  if (!events) return <div className="sk-section-body"><Skeleton active title={false} /></div>
  if (events.length === 0) return <p className="sk-muted sk-section-body">{t('events.none')}</p>
  return (
    <ul className="sk-events" aria-label={t('nav.events')}>
      {events.map((event) => {
        const to = objectLink?.(event.kind, event.objectId)
        return (
          <li key={event.seq}>
            <span className={`sk-event-mark ${event.warning ? 'sk-event-mark-warning' : ''}`} style={{ background: event.warning ? 'var(--sk-orange)' : 'var(--sk-line)' }}>
              {event.warning && <span className="sk-visually-hidden">{t('events.warning')}</span>}
            </span>
            <span>
              <Sentence object={event.object} message={event.message} to={to} />
            </span>
            <Time at={event.time} />
          </li>
        )
      })}
    </ul>
  )
}
