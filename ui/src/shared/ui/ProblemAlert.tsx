import { Alert, Button } from 'antd'
import { useTranslation } from 'react-i18next'
import { CopyLine } from './CopyButton'

/** What went wrong, as the server said it. */
export interface ProblemLike {
  /** The server's sentence, already fit for a person. */
  message: string
  code: string
  requestId: string
  /** The frame says it already: a quiet line stands for it here. */
  said?: boolean
}

/** An error as the server's sentence, with its code and request id to copy. Announced to screen readers when it appears. */
export function ProblemAlert({ problem, retry }: { problem: ProblemLike | null | undefined; retry?: () => void }) {
  const { t } = useTranslation()
  if (!problem) return null
  if (problem.said) return <p className="sk-muted sk-said">{t('reach.waits')}</p>
  const reference = [problem.code, problem.requestId].filter(Boolean).join(' ')
  return (
    <Alert
      type="error"
      showIcon
      styles={{ title: { fontSize: 14, lineHeight: '22px' } }}
      role="alert"
      className="sk-problem"
      title={problem.message}
      description={reference ? <CopyLine text={reference} /> : undefined}
      action={
        retry && (
          <Button size="small" onClick={retry}>
            {t('action.retry')}
          </Button>
        )
      }
    />
  )
}
