import { Badge, Button, Popover, Progress } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { formatBytes } from '@/shared/lib/format'
import { cancelTask, dismissEnded, dismissTask, useTasks, type Task, type TaskState } from '@/shared/lib/tasks'
import type { StatusWord } from '@/shared/lib/status'
import { CopyButton } from '@/shared/ui/CopyButton'
import { CheckCircleFilled, CloseOutlined, UnorderedListOutlined } from '@/shared/ui/icons'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'

const words: Record<TaskState, StatusWord> = { running: 'updating', done: 'completed', failed: 'failed', cancelled: 'stopped' }

/** The running tasks of this page in the top bar: how many, how far, and a way to stop each. */
export function TaskMenu() {
  const { t } = useTranslation()
  const tasks = useTasks()
  const [open, setOpen] = useState(false)
  const running = tasks.filter(({ state }) => state === 'running')
  const failed = tasks.some(({ state }) => state === 'failed')
  const newest = running[0]
  const share = running.length === 1 && newest ? shareOf(newest) : undefined
  return (
    <>
      {/* A reader of the screen hears of beginnings and ends, not of each percent. */}
      <span className="sk-visually-hidden" role="status">
        {tasks[0] ? `${t(`task.${tasks[0].kind}`, { name: tasks[0].title })}: ${t(`task.${tasks[0].state}`)}` : ''}
      </span>
      <Popover
        open={open}
        onOpenChange={setOpen}
        trigger="click"
        placement="bottomRight"
        destroyOnHidden
        content={<TaskList tasks={tasks} onFollow={() => setOpen(false)} />}
        title={
          <span className="sk-task-title">
            {t('task.title')}
            {tasks.length > running.length && (
              <Button size="small" type="text" onClick={dismissEnded}>
                {t('task.clear')}
              </Button>
            )}
          </span>
        }
      >
        <Badge count={running.length} size="small" offset={[-6, 6]} color="var(--sk-accent)" dot={running.length === 0 && failed}>
          <Button
            type="text"
            aria-haspopup="dialog"
            aria-expanded={open}
            aria-label={t('task.button', { count: running.length })}
            title={t('task.title')}
            icon={share === undefined ? <UnorderedListOutlined /> : <span aria-hidden><Progress type="circle" percent={Math.round(share * 100)} size={16} showInfo={false} strokeWidth={14} /></span>}
          />
        </Badge>
      </Popover>
    </>
  )
}

/** How far a task is, 0 to 1; undefined while nobody knows. */
function shareOf(task: Task): number | undefined {
  return task.total && task.current !== undefined ? Math.min(1, task.current / task.total) : undefined
}

function TaskList({ tasks, onFollow }: { tasks: readonly Task[]; onFollow: () => void }) {
  const { t } = useTranslation()
  if (tasks.length === 0) return <p className="sk-muted sk-task-list">{t('task.none')}</p>
  return (
    <ul className="sk-task-list" aria-label={t('task.title')}>
      {tasks.map((task) => (
        <TaskRow key={task.id} task={task} onFollow={onFollow} />
      ))}
    </ul>
  )
}

function TaskRow({ task, onFollow }: { task: Task; onFollow: () => void }) {
  const { t } = useTranslation()
  const share = shareOf(task)
  const name = t(`task.${task.kind}`, { name: task.title })
  const reference = task.problem ? [task.problem.code, task.problem.requestId].filter(Boolean).join(' ') : ''
  const bytes = task.total !== undefined && task.total >= 1024
  return (
    <li>
      <div className="sk-task-head">
        {task.state === 'done' ? <span className="sk-task-done" title={t('task.done')}><CheckCircleFilled /></span> : <StatusBadge status={words[task.state]} quiet />}
        <span className="sk-task-name">
          {task.to ? (
            <Link to={task.to} onClick={onFollow}>
              {name}
            </Link>
          ) : (
            name
          )}
        </span>
        {task.state === 'running' ? (
          task.cancel && (
            <Button size="small" aria-label={t('task.cancelName', { name })} onClick={() => cancelTask(task.id)}>
              {t('action.cancel')}
            </Button>
          )
        ) : (
          <>
            <span className="sk-muted sk-nowrap"><Time at={task.endedAt} /></span>
            <Button size="small" type="text" icon={<CloseOutlined />} aria-label={t('task.dismiss', { name })} onClick={() => dismissTask(task.id)} />
          </>
        )}
      </div>
      {task.state === 'running' && share !== undefined && <Progress percent={Math.floor(share * 100)} size="small" showInfo={false} aria-label={name} />}
      {task.state === 'running' && (
        <div className="sk-task-detail sk-muted">
          <span>{share === 1 && task.kind === 'upload' ? t('images.unpacking') : task.detail}</span>
          {bytes && share !== undefined && (
            <span className="sk-number">
              {formatBytes(task.current ?? 0)} / {formatBytes(task.total ?? 0)}
            </span>
          )}
        </div>
      )}
      {task.state === 'cancelled' && <div className="sk-muted">{t('task.cancelled')}</div>}
      {task.problem && (
        <div className="sk-task-problem">
          {task.problem.message}
          {reference && (
            <span className="sk-muted sk-nowrap">
              {' '}
              <code>{reference}</code>
              <CopyButton text={reference} />
            </span>
          )}
        </div>
      )}
    </li>
  )
}
