import { App as AntApp, Button, Modal } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { Container } from '@/api/model'
import { asProblem } from '@/api/problem'
import { commandLine } from '@/shared/lib/shell'
import { SameAs } from '@/shared/ui/SameAs'
import { useBulk, type Action } from './queries'
import { RemoveDialog } from './RemoveDialog'

/** What can be done to the chosen containers together. Stopping and restarting name what they touch before they act. */
export function BulkBar({ chosen, all, onDone }: { chosen: Container[]; all: Container[]; onDone: () => void }) {
  const { t } = useTranslation()
  const { modal, notification } = AntApp.useApp()
  const bulk = useBulk()
  const [removing, setRemoving] = useState(false)
  const running = chosen.filter(({ status }) => status.phase === 'running')
  const resting = chosen.filter(({ status }) => ['exited', 'failed', 'backoff'].includes(status.phase))
  const names = chosen.map(({ name }) => name)
  const run = (action: Action, containers: Container[]) =>
    bulk.mutate(
      { containers, action },
      {
        onSuccess: (refused) => {
          if (refused.length === 0) return onDone()
          notification.error({
            title: t('containers.someRefused', { count: refused.length }),
            description: (
              <ul className="sk-plan">
                {refused.slice(0, 6).map(({ container, error }) => {
                  const problem = asProblem(error)
                  return (
                    <li key={container.id}>
                      {container.name}: {problem.message} <code>{[problem.code, problem.requestId].filter(Boolean).join(' ')}</code>
                    </li>
                  )
                })}
              </ul>
            ),
            duration: 0,
          })
        },
      },
    )
  const ask = (action: 'restart' | 'stop', containers: Container[]) =>
    void modal.confirm({
      title: t(`containers.${action}Title`, { count: containers.length }),
      content: t(`containers.${action}Consequence`, { count: containers.length }),
      okText: t(`action.${action}`),
      cancelText: t('action.cancel'),
      okButtonProps: { danger: action === 'stop' },
      onOk: () => run(action, containers),
    })
  return (
    <div className="sk-bulk" role="toolbar" aria-label={t('containers.bulk')}>
      <b role="status">{t('containers.chosen', { count: chosen.length })}</b>
      <Button size="small" disabled={running.length === 0} loading={bulk.isPending} onClick={() => ask('restart', running)}>
        {t('containers.restartSome', { count: running.length })}
      </Button>
      <Button size="small" disabled={running.length === 0} onClick={() => ask('stop', running)}>
        {t('containers.stopSome', { count: running.length })}
      </Button>
      {resting.length > 0 && (
        <Button size="small" onClick={() => run('start', resting)}>
          {t('containers.startSome', { count: resting.length })}
        </Button>
      )}
      <Button size="small" danger onClick={() => setRemoving(true)}>
        {t('containers.removeSome', { count: chosen.length })}
      </Button>
      <SameAs compact cli={[commandLine('skerry', 'restart', ...names), commandLine('skerry', 'stop', ...names), commandLine('skerry', 'rm', '-f', ...names)].join('\n')} />
      <Button size="small" type="text" onClick={onDone}>
        {t('containers.choseNone')}
      </Button>
      {removing && <RemoveDialog chosen={chosen} all={all} onClose={() => setRemoving(false)} onRemoved={onDone} />}
    </div>
  )
}

/** Asks before a container's first process is killed. */
export function KillDialog({ container, pending, onClose, onKill }: { container: Container; pending: boolean; onClose: () => void; onKill: () => void }) {
  const { t } = useTranslation()
  return (
    <Modal open title={t('container.killTitle', { name: container.name })} okText={t('action.kill')} cancelText={t('action.cancel')} okButtonProps={{ danger: true }} confirmLoading={pending} onCancel={onClose} onOk={onKill}>
      {t('container.killConsequence')}
    </Modal>
  )
}
