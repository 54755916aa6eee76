import { Progress as Bar } from 'antd'
import { useTranslation } from 'react-i18next'
import { formatBytes } from '../lib/format'
import type { StatusWord } from '../lib/status'
import { StatusBadge } from './StatusBadge'

/** One step of long work. */
export interface StepLike {
  id: string
  step: string
  message?: string
  current?: number
  total?: number
}

const words: Record<string, StatusWord> = { running: 'running', done: 'completed', failed: 'failed' }

/** The steps of long work as they happen; bytes with a bar where the whole is known. */
export function Steps({ steps }: { steps: StepLike[] }) {
  const { t } = useTranslation()
  if (steps.length === 0) return <p className="sk-muted" role="status">{t('steps.begin')}</p>
  return (
    <ul className="sk-events" aria-live="polite">
      {steps.map((step) => (
        <li key={step.id} style={{ paddingInline: 0 }}>
          <StatusBadge status={words[step.step] ?? 'updating'} quiet />
          <span style={{ minWidth: 0, overflowWrap: 'anywhere' }}>
            {step.message || step.step} <span className="sk-muted">{step.id.length > 24 ? `${step.id.slice(0, 19)}…` : step.id}</span>
            {step.total ? <Bar size="small" percent={Math.round(((step.current ?? 0) / step.total) * 100)} showInfo={false} /> : null}
          </span>
          <span className="sk-number sk-muted">{step.total ? `${formatBytes(step.current ?? 0)} / ${formatBytes(step.total)}` : ''}</span>
        </li>
      ))}
    </ul>
  )
}
