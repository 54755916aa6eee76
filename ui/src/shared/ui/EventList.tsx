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
  appId?: string
  object: string
  reason: string
  message: string
  warning?: boolean
}

/** Events, newest first, as sentences. */
export function EventList({ events, objectLink, showReason }: { events: EventLike[] | undefined; showReason?: boolean; objectLink?: (event: EventLike) => string | undefined }) {
  const { t } = useTranslation()
  if (!events) return <div className="sk-section-body"><Skeleton active title={false} /></div>
  if (events.length === 0) return <p className="sk-muted sk-section-body">{t('events.none')}</p>
  return (
    <ul className="sk-events" aria-label={t('nav.events')}>
      {events.map((event) => {
        const to = objectLink?.(event)
        return (
          <li key={event.seq}>
            <span className={`sk-event-mark ${event.warning ? 'sk-event-mark-warning' : ''}`} style={{ background: event.warning ? 'var(--sk-orange)' : 'var(--sk-line)' }}>
              {event.warning && <span className="sk-visually-hidden">{t('events.warning')}</span>}
            </span>
            <span>
              <Sentence object={event.object} message={event.message} reason={event.reason} to={to} />
              {showReason && <code className="sk-event-reason">{event.reason}</code>}
            </span>
            <Time at={event.time} />
          </li>
        )
      })}
    </ul>
  )
}
