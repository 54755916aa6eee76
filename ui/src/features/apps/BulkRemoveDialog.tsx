import { useQuery } from '@tanstack/react-query'
import { Modal } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { App } from '@/api/model'
import { asProblem, type ApiProblem } from '@/api/problem'
import { containersQuery } from '@/api/queries'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAsPanel } from '@/shared/ui/SameAs'
import { useAppsAction } from './queries'

/** Removes several apps, naming in numbers what goes. Volumes stay, so no name needs to be typed. */
export function BulkRemoveDialog({ apps, command, onClose }: { apps: App[]; command: string; onClose: (done: boolean) => void }) {
  const { t } = useTranslation()
  const containers = useQuery(containersQuery({}))
  const act = useAppsAction()
  const [refused, setRefused] = useState<ApiProblem | null>(null)
  const ids = new Set(apps.map(({ id }) => id))
  const count = containers.data?.items.filter(({ appId }) => ids.has(appId)).length ?? apps.reduce((sum, { status }) => sum + status.desired, 0)
  return (
    <Modal
      open
      title={t('bulk.removeTitle', { count: apps.length })}
      okText={t('bulk.removeSubmit', { count: apps.length })}
      cancelText={t('action.cancel')}
      okButtonProps={{ danger: true }}
      confirmLoading={act.isPending}
      onCancel={() => onClose(false)}
      onOk={() =>
        act.mutate(
          { apps, action: 'remove' },
          {
            onSuccess: ({ failures }) => {
              if (failures[0]) setRefused(asProblem(failures[0].error))
              else onClose(true)
            },
          },
        )
      }
    >
      <ProblemAlert problem={refused} />
      <div className="sk-stack">
        <p>{apps.map(({ name }) => name).join(', ')}</p>
        <p>{t('remove.consequence', { services: t('remove.services', { count: apps.reduce((sum, { status }) => sum + status.services, 0) }), containers: t('remove.containers', { count }) })}</p>
        <p>{t('bulk.volumesStay')}</p>
        <SameAsPanel cli={command} />
      </div>
    </Modal>
  )
}
