import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useMay } from '@/api/may'
import { asProblem } from '@/api/problem'
import { registryQuery } from '@/api/registry'
import { formatBytes } from '@/shared/lib/format'
import { curl } from '@/shared/lib/shell'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { Facts, Section } from '@/shared/ui/Page'
import { SameAs } from '@/shared/ui/SameAs'
import { useCollect } from './queries'

/** What the registry stores on the node that answers; who may, gives up at once what nothing needs. */
export function StorageSummary() {
  const { t } = useTranslation()
  const may = useMay()
  const { message } = AntApp.useApp()
  const registry = useQuery(registryQuery)
  const collect = useCollect()
  const [asking, setAsking] = useState(false)
  if (!registry.data || !may('platform.read')) return null
  const { blobs, bytes, reclaimableBytes, uploads } = registry.data
  return (
    <Section
      title={t('storage.title')}
      extra={
        may('platform.write') && (
          <Button size="small" onClick={() => setAsking(true)}>
            {t('storage.collect')}
          </Button>
        )
      }
    >
      <Facts
        items={[
          { label: t('storage.bytes'), value: formatBytes(bytes) },
          { label: t('storage.blobs'), value: blobs },
          { label: t('storage.reclaimable'), value: formatBytes(reclaimableBytes) },
          { label: t('storage.uploads'), value: uploads },
        ]}
      />
      {asking && (
        <ConfirmDialog
          title={t('storage.collectTitle')}
          submit={t('storage.collect')}
          pending={collect.isPending}
          problem={collect.isError ? asProblem(collect.error) : null}
          extra={<SameAs compact cli="skerry registry collect" api={curl({ method: 'POST', path: '/registry/collections' })} />}
          onClose={() => setAsking(false)}
          onSubmit={() =>
            collect.mutate(undefined, {
              onSuccess: (freed) => {
                setAsking(false)
                message.success(t('storage.collected', { count: freed.blobs, size: formatBytes(freed.bytes) }))
              },
            })
          }
        >
          <p>{t('storage.consequence', { size: formatBytes(reclaimableBytes) })}</p>
        </ConfirmDialog>
      )}
    </Section>
  )
}
