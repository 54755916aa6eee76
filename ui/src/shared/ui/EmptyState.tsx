import type { ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import { CopyLine } from './CopyButton'

/** What a list shows when it is empty: one sentence, the primary button, the command that does the same. */
export function EmptyState({ sentence, action, command }: { sentence: string; action?: ReactNode; command?: string }) {
  const { t } = useTranslation()
  return (
    <div className="sk-empty">
      <p>{sentence}</p>
      {action}
      {command && (
        <p className="sk-muted">
          {t('empty.orCommand')} <CopyLine text={command} />
        </p>
      )}
    </div>
  )
}
