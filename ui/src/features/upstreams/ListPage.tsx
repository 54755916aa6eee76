import { DeleteOutlined, EditOutlined, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Space, Table, Tag, type TableColumnsType } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useMay } from '@/api/may'
import type { Upstream } from '@/api/model'
import { asProblem } from '@/api/problem'
import { tenantsQuery } from '@/api/registry'
import { formatBytes } from '@/shared/lib/format'
import { commandLine, curl } from '@/shared/lib/shell'
import '@/shared/ui/artifacts.css'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { upstreamsQuery, useRemoveUpstream } from './queries'
import { TestDialog } from './TestDialog'
import { UpstreamDialog } from './UpstreamDialog'

export default function ListPage() {
  const { t } = useTranslation()
  const may = useMay()
  const upstreams = useQuery(upstreamsQuery)
  const tenants = useQuery(tenantsQuery)
  const [editing, setEditing] = useState<Upstream | 'new' | null>(null)
  const [testing, setTesting] = useState<Upstream | null>(null)
  const [removing, setRemoving] = useState<Upstream | null>(null)
  const mayWrite = may('platform.write')
  const tenantName = (id: string) => {
    const tenant = tenants.data?.items.find((each) => each.id === id)
    return tenant ? tenant.spec.displayName || tenant.name : id
  }
  const columns: TableColumnsType<Upstream> = [
    {
      key: 'name',
      title: t('upstream.host'),
      render: (_, upstream) => (
        <span className="sk-namecell">
          <span className="sk-name">{upstream.name}</span>
          {upstream.spec.disabled && <Tag>{t('upstream.off')}</Tag>}
        </span>
      ),
    },
    { key: 'endpoints', title: t('upstream.endpoints'), responsive: ['md'], render: (_, upstream) => (upstream.spec.endpoints?.length ? upstream.spec.endpoints.map((endpoint) => <div key={endpoint}>{endpoint}</div>) : <span className="sk-muted">{`https://${upstream.name}`}</span>) },
    { key: 'user', title: t('signIn.name'), responsive: ['lg'], render: (_, upstream) => upstream.spec.username || <span className="sk-muted">{t('upstream.anonymous')}</span> },
    { key: 'tenants', title: t('upstream.tenants'), responsive: ['lg'], render: (_, upstream) => (upstream.spec.tenantIds?.length ? upstream.spec.tenantIds.map(tenantName).join(', ') : t('upstream.allTenants')) },
    { key: 'cached', title: t('upstream.cached'), align: 'right', responsive: ['sm'], render: (_, upstream) => <span className="sk-number" title={t('upstream.repositories', { count: upstream.status.repositories })}>{formatBytes(upstream.status.sizeBytes)}</span> },
    {
      key: 'actions',
      title: <span className="sk-visually-hidden">{t('column.actions')}</span>,
      align: 'right',
      render: (_, upstream) =>
        mayWrite && (
          <Space size={0}>
            <Button size="small" aria-label={t('upstream.testName', { name: upstream.name })} onClick={() => setTesting(upstream)}>
              {t('upstream.test')}
            </Button>
            <Button type="text" icon={<EditOutlined />} aria-label={t('edit.editName', { name: upstream.name })} title={t('edit.edit')} onClick={() => setEditing(upstream)} />
            <Button type="text" icon={<DeleteOutlined />} aria-label={t('images.remove', { name: upstream.name })} title={t('action.remove')} onClick={() => setRemoving(upstream)} />
          </Space>
        ),
    },
  ]
  const add = (
    <Button type="primary" icon={<PlusOutlined />} onClick={() => setEditing('new')}>
      {t('upstream.create')}
    </Button>
  )
  const none = upstreams.data?.items.length === 0
  return (
    <Page title={t('nav.upstreams')} plainTitle={t('nav.upstreams')} actions={!none && mayWrite ? add : undefined}>
      {upstreams.isError && <ProblemAlert problem={asProblem(upstreams.error)} retry={() => void upstreams.refetch()} />}
      {none ? (
        <Section>
          <EmptyState sentence={t('upstream.empty')} action={mayWrite ? add : undefined} />
        </Section>
      ) : (
        <Section flush>
          <Table rowKey="id" size="middle" columns={columns} dataSource={upstreams.data?.items} loading={upstreams.isPending} pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }} locale={{ emptyText: ' ' }} />
        </Section>
      )}
      {editing && (
        <UpstreamDialog
          upstream={editing === 'new' ? undefined : editing}
          onClose={() => setEditing(null)}
          onSaved={(saved) => {
            setEditing(null)
            // What was written is tried at once: a wrong password is found now, not at the next deployment.
            if (!saved.spec.disabled) setTesting(saved)
          }}
        />
      )}
      {testing && <TestDialog upstream={testing} onClose={() => setTesting(null)} />}
      {removing && <Remove upstream={removing} onClose={() => setRemoving(null)} />}
    </Page>
  )
}

function Remove({ upstream, onClose }: { upstream: Upstream; onClose: () => void }) {
  const { t } = useTranslation()
  const remove = useRemoveUpstream()
  const { repositories, sizeBytes } = upstream.status
  return (
    <ConfirmDialog
      title={t('images.removeTitle', { name: upstream.name })}
      submit={t('action.remove')}
      pending={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
      extra={<SameAs compact cli={commandLine('skerry', 'upstream', 'rm', upstream.name)} api={curl({ method: 'DELETE', path: `/upstreams/${encodeURIComponent(upstream.name)}` })} />}
      onClose={onClose}
      onSubmit={() => remove.mutate(upstream, { onSuccess: onClose })}
    >
      <p>{t('upstream.consequence', { name: upstream.name })}</p>
      {repositories > 0 && <p>{t('upstream.cacheGoes', { count: repositories, size: formatBytes(sizeBytes) })}</p>}
    </ConfirmDialog>
  )
}
