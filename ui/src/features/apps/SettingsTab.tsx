import { useQuery } from '@tanstack/react-query'
import { Button } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { App, Container, Service } from '@/api/model'
import { useMay } from '@/api/may'
import { environmentsQuery, volumesQuery } from '@/api/queries'
import { formatBytes } from '@/shared/lib/format'
import { CopyLine } from '@/shared/ui/CopyButton'
import { Facts, Section } from '@/shared/ui/Page'
import { Ports } from '@/shared/ui/Ports'
import { Time } from '@/shared/ui/Time'
import { RemoveDialog } from './RemoveDialog'

/** What an app is and holds, and the ways to change and to remove it. */
export function SettingsTab({ app, services, containers }: { app: App; services: Service[]; containers: Container[] }) {
  const { t } = useTranslation()
  const may = useMay()
  const environments = useQuery(environmentsQuery)
  const volumes = useQuery(volumesQuery)
  const [removing, setRemoving] = useState(false)
  const used = (volumes.data?.items ?? []).filter(({ status }) => status.usedBy.some(({ appName }) => appName === app.name))
  return (
    <>
      <Section title={t('settings2.facts')}>
        <Facts
          items={[
            { label: t('column.id'), value: <CopyLine text={app.id} /> },
            { label: t('settings2.environment'), value: environments.data?.items.find(({ id }) => id === app.environmentId)?.name ?? app.environmentId },
            { label: t('column.age'), value: <Time at={app.createdAt} /> },
            { label: t('settings2.changed'), value: <Time at={app.updatedAt} /> },
            { label: t('column.ports'), value: <Ports ports={app.status.ports} /> },
            {
              label: t('deploy.volumes'),
              value:
                used.length === 0
                  ? '–'
                  : used.map((volume) => (
                      <div key={volume.id}>
                        {volume.name} <span className="sk-muted">{volume.status.usedBytes === undefined ? '' : formatBytes(volume.status.usedBytes)}</span>
                      </div>
                    )),
            },
          ]}
        />
      </Section>
      {may('app.write') && (
        <Section title={t('settings2.change')}>
          <div className="sk-setting">
            <p>{t('settings2.editHelp')}</p>
            <Link to={`/apps/${encodeURIComponent(app.name)}/edit`}>
              <Button>{t('deploy2.editShort')}</Button>
            </Link>
          </div>
          <div className="sk-setting">
            <p>{t('remove.consequence', { services: t('remove.services', { count: services.length }), containers: t('remove.containers', { count: containers.length }) })}</p>
            <Button danger onClick={() => setRemoving(true)} disabled={app.removing}>
              {t('settings2.remove')}
            </Button>
          </div>
        </Section>
      )}
      {removing && <RemoveDialog app={app} containers={containers.length} services={services.length} onClose={() => setRemoving(false)} />}
    </>
  )
}
