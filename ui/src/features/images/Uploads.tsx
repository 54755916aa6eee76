import { useQueryClient } from '@tanstack/react-query'
import { Button, Progress } from 'antd'
import { useTranslation } from 'react-i18next'
import { formatBytes } from '@/shared/lib/format'
import { cancelTask, useTasks } from '@/shared/lib/tasks'
import '@/shared/ui/artifacts.css'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { canRetry, forgetUpload, retryUpload } from './upload'

/** The uploads that run, and those that failed, above the list that they add to. */
export function Uploads() {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const uploads = useTasks().filter((task) => task.kind === 'upload' && (task.state === 'running' || (task.state === 'failed' && canRetry(task.id))))
  if (uploads.length === 0) return null
  return (
    <div className="sk-works" role="region" aria-label={t('upload.running')}>
      {uploads.map((task) => {
        if (task.state === 'failed') {
          return (
            <div key={task.id} className="sk-work">
              <div className="sk-work-head">
                <span className="sk-name">{task.title}</span>
                <Button size="small" onClick={() => retryUpload(queries, task.id)}>
                  {t('action.retry')}
                </Button>
                <Button size="small" type="text" onClick={() => forgetUpload(task.id)}>
                  {t('upload.dismiss')}
                </Button>
              </div>
              <ProblemAlert problem={task.problem} />
            </div>
          )
        }
        const sent = task.current ?? 0
        const total = task.total ?? 0
        return (
          <div key={task.id} className="sk-work">
            <div className="sk-work-head">
              <span className="sk-name">{task.title}</span>
              <span className="sk-number sk-muted">
                {sent < total ? `${formatBytes(sent)} / ${formatBytes(total)}` : formatBytes(total)}
                {task.detail ? ` · ${task.detail}` : ''}
              </span>
              <Button size="small" aria-label={t('upload.stop', { name: task.title })} onClick={() => cancelTask(task.id)}>
                {t('action.cancel')}
              </Button>
            </div>
            <Progress percent={total > 0 ? Math.floor((sent / total) * 100) : 0} size="small" status="active" aria-label={t('upload.progress', { name: task.title })} />
          </div>
        )
      })}
    </div>
  )
}
