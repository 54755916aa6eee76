import { Select } from 'antd'
import { useTranslation } from 'react-i18next'
import './LogView.css'

/** Which part of a log is looked at; `custom` with the local times of its two ends, each of which may be open. */
export interface LogRangeValue {
  kind: 'live' | '15m' | '1h' | '24h' | 'custom'
  from?: string
  to?: string
}

/** What the range asks the server for; undefined is the newest lines. Without an end the log is followed. */
export function spanOf({ kind, from, to }: LogRangeValue): { since?: string; until?: string } | undefined {
  if (kind === 'live') return undefined
  if (kind !== 'custom') return { since: kind }
  const exact = (local: string | undefined) => {
    const time = local ? new Date(local) : undefined
    return time && !Number.isNaN(time.getTime()) ? time.toISOString() : undefined
  }
  return { since: exact(from) ?? '720h', until: exact(to) }
}

/** Chooses the range, for the filter bar of a log. */
export function LogRange({ value, onChange }: { value: LogRangeValue; onChange: (value: LogRangeValue) => void }) {
  const { t } = useTranslation()
  const kinds = ['live', '15m', '1h', '24h', 'custom'] as const
  return (
    <span className="sk-log-times">
      <Select style={{ width: 150 }} aria-label={t('log.range')} value={value.kind} onChange={(kind) => onChange({ ...value, kind })} options={kinds.map((kind) => ({ value: kind, label: t(`log.ranges.${kind}`) }))} />
      {value.kind === 'custom' && (
        <>
          <input type="datetime-local" aria-label={t('log.from')} value={value.from ?? ''} onChange={(event) => onChange({ ...value, from: event.target.value })} />
          <input type="datetime-local" aria-label={t('log.to')} value={value.to ?? ''} onChange={(event) => onChange({ ...value, to: event.target.value })} />
        </>
      )}
    </span>
  )
}
