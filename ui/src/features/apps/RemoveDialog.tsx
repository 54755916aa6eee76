import { useQuery } from '@tanstack/react-query'
import { Checkbox, Input, Modal } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useNavigate } from 'react-router'
import type { App } from '@/api/model'
import { asProblem } from '@/api/problem'
import { volumesQuery } from '@/api/queries'
import { formatBytes } from '@/shared/lib/format'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { useRemoveApp } from './queries'

/** Names what goes, in numbers. The name is asked for only when data is lost. */
export function RemoveDialog({ app, containers, services, onClose }: { app: App; containers: number; services: number; onClose: () => void }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const remove = useRemoveApp()
  const volumes = useQuery(volumesQuery)
  const [withVolumes, setWithVolumes] = useState(false)
  const [typed, setTyped] = useState('')
  // Only the volumes that nobody else uses go with the app: the server holds the same rule.
  const own = (volumes.data?.items ?? []).filter((volume) => volume.status.usedBy.length > 0 && volume.status.usedBy.every((user) => user.appName === app.name))
  const bytes = own.reduce((sum, volume) => sum + (volume.status.usedBytes ?? 0), 0)
  const ports = (app.status.ports ?? []).map((port) => port.hostPort).join(', ')
  return (
    <Modal
      open
      title={t('remove.title', { name: app.name })}
      okText={t('remove.submit')}
      cancelText={t('action.cancel')}
      okButtonProps={{ danger: true, disabled: withVolumes && typed !== app.name }}
      confirmLoading={remove.isPending}
      onCancel={onClose}
      onOk={() =>
        remove.mutate(
          { app, volumes: withVolumes },
          {
            onSuccess: () => {
              onClose()
              void navigate('/apps')
            },
          },
        )
      }
    >
      {remove.isError && <ProblemAlert problem={asProblem(remove.error)} />}
      <div className="sk-stack">
      <p>{t('remove.consequence', { services: t('remove.services', { count: services }), containers: t('remove.containers', { count: containers }) })}</p>
      {ports && <p>{t('remove.ports', { ports })}</p>}
      {own.length > 0 && (
        <>
          <p>{t('remove.volumesStay', { volumes: own.map((volume) => volume.name).join(', '), size: formatBytes(bytes) })}</p>
          <p>
            <Checkbox checked={withVolumes} onChange={(event) => setWithVolumes(event.target.checked)}>
              {t('remove.volumesToo', { count: own.length })}
            </Checkbox>
          </p>
        </>
      )}
      {withVolumes && (
        <label>
          {t('remove.typeName', { name: app.name })}
          <Input value={typed} onChange={(event) => setTyped(event.target.value)} autoComplete="off" spellCheck={false} />
        </label>
      )}
      </div>
    </Modal>
  )
}
