import { DeleteOutlined, EditOutlined, MoreOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Dropdown } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate, useParams } from 'react-router'
import { useMay } from '@/api/may'
import type { Tenant } from '@/api/model'
import { asProblem } from '@/api/problem'
import { commandLine, curl } from '@/shared/lib/shell'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { Page, PageSkeleton } from '@/shared/ui/Page'
import { PageProblem } from '@/shared/ui/PageProblem'
import { SameAs } from '@/shared/ui/SameAs'
import { Time } from '@/shared/ui/Time'
import { Members } from './Members'
import { tenantQuery, useRemoveTenant } from './queries'
import { TenantDialog } from './TenantDialog'

export default function TenantPage() {
  const { t } = useTranslation()
  const { ref = '' } = useParams()
  const tenant = useQuery(tenantQuery(ref))
  if (tenant.isPending) return <PageSkeleton />
  if (!tenant.data) return <PageProblem title={ref} back={<Link to="/tenants">{t('nav.tenants')}</Link>} problem={asProblem(tenant.error)} retry={() => void tenant.refetch()} />
  return <Detail tenant={tenant.data} />
}

function Detail({ tenant }: { tenant: Tenant }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const may = useMay()
  const [dialog, setDialog] = useState<'edit' | 'remove' | null>(null)
  const admin = may('platform.write')
  return (
    <Page
      title={tenant.name}
      plainTitle={tenant.name}
      back={<Link to="/tenants">{t('nav.tenants')}</Link>}
      beside={
        <span className="sk-muted">
          {tenant.spec.displayName ? `${tenant.spec.displayName} · ` : ''}
          <Time at={tenant.createdAt} />
        </span>
      }
      actions={
        <>
          {admin && (
            <Button icon={<EditOutlined />} onClick={() => setDialog('edit')}>
              {t('edit.edit')}
            </Button>
          )}
          <SameAs api={curl({ path: `/tenants/${encodeURIComponent(tenant.name)}/members` })} />
          {admin && (
            <Dropdown trigger={['click']} menu={{ items: [{ key: 'remove', icon: <DeleteOutlined />, danger: true, label: t('tenant.remove'), onClick: () => setDialog('remove') }] }}>
              <Button icon={<MoreOutlined />} aria-label={t('action.more')} />
            </Dropdown>
          )}
        </>
      }
    >
      <Members tenant={tenant} editable={admin} />
      {dialog === 'edit' && <TenantDialog tenant={tenant} onClose={() => setDialog(null)} onSaved={() => setDialog(null)} />}
      {dialog === 'remove' && <RemoveTenant tenant={tenant} onClose={() => setDialog(null)} onRemoved={() => void navigate('/tenants')} />}
    </Page>
  )
}

function RemoveTenant({ tenant, onClose, onRemoved }: { tenant: Tenant; onClose: () => void; onRemoved: () => void }) {
  const { t } = useTranslation()
  const remove = useRemoveTenant(tenant)
  return (
    <ConfirmDialog
      title={t('images.removeTitle', { name: tenant.name })}
      submit={t('tenant.remove')}
      pending={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
      extra={<SameAs compact cli={commandLine('skerry', 'tenant', 'rm', tenant.name)} api={curl({ method: 'DELETE', path: `/tenants/${encodeURIComponent(tenant.name)}` })} />}
      onClose={onClose}
      onSubmit={() => remove.mutate(undefined, { onSuccess: onRemoved })}
    >
      <p>{t('tenant.removeConsequence')}</p>
    </ConfirmDialog>
  )
}
