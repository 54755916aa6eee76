import { PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Table, type TableColumnsType } from 'antd'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate, useSearchParams } from 'react-router'
import { useMay } from '@/api/may'
import type { Tenant } from '@/api/model'
import { asProblem } from '@/api/problem'
import { tenantsQuery } from '@/api/registry'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Time } from '@/shared/ui/Time'
import { TenantDialog } from './TenantDialog'

export default function TenantsPage() {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const may = useMay()
  const tenants = useQuery(tenantsQuery)
  const [search, setSearch] = useSearchParams()
  const columns: TableColumnsType<Tenant> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, tenant) => (
        <Link className="sk-name" to={`/tenants/${encodeURIComponent(tenant.name)}`}>
          {tenant.name}
        </Link>
      ),
    },
    { key: 'shown', title: t('user.displayName'), render: (_, tenant) => tenant.spec.displayName || '–' },
    { key: 'age', title: t('column.age'), align: 'right', render: (_, tenant) => <span className="sk-nowrap"><Time at={tenant.createdAt} /></span> },
  ]
  const mayCreate = may('platform.write')
  return (
    <Page
      title={t('nav.tenants')}
      plainTitle={t('nav.tenants')}
      actions={
        mayCreate && (
          <Button type="primary" icon={<PlusOutlined />} onClick={() => setSearch({ do: 'create' }, { replace: true })}>
            {t('tenant.create')}
          </Button>
        )
      }
    >
      {tenants.isError && <ProblemAlert problem={asProblem(tenants.error)} retry={() => void tenants.refetch()} />}
      <Section flush>
        <Table rowKey="id" size="middle" columns={columns} dataSource={tenants.data?.items} loading={tenants.isPending} pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }} locale={{ emptyText: ' ' }} />
      </Section>
      {search.get('do') === 'create' && mayCreate && <TenantDialog onClose={() => setSearch({}, { replace: true })} onSaved={(made) => void navigate(`/tenants/${encodeURIComponent(made.name)}`)} />}
    </Page>
  )
}
