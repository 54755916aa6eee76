import { useTranslation } from 'react-i18next'
import { statusTone, type StatusWord } from '../lib/status'

/** A status as a dot and its word. Words of passage (starting, updating, draining) have an open ring, unknown a dashed one. */
export function StatusBadge({ status, count, quiet }: { status: StatusWord; count?: number; quiet?: boolean }) {
  const { t } = useTranslation()
  const word = t(`status.${status}`)
  return (
    <span className={`sk-status sk-status-${status}`} style={{ color: `var(--sk-${statusTone[status]})` }} title={quiet ? word : undefined}>
      <span className="sk-status-dot" aria-hidden />
      {quiet ? <span className="sk-visually-hidden">{word}</span> : word}
      {count !== undefined && <span className="sk-status-count">{count}</span>}
    </span>
  )
}
