import { PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Input, Select, Table, Tag, type TableColumnsType } from 'antd'
import { useMemo } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate, useSearchParams } from 'react-router'
import { useMay } from '@/api/may'
import type { Repository } from '@/api/model'
import { asProblem } from '@/api/problem'
import { registryQuery, repositoriesQuery, useTenantInView } from '@/api/registry'
import { formatBytes } from '@/shared/lib/format'
import '@/shared/ui/artifacts.css'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Time } from '@/shared/ui/Time'
import { repositoryPath } from './paths'
import { RepositoryDialog } from './RepositoryDialog'
import { StorageSummary } from './StorageSummary'
import { VisibilityTag } from './VisibilityTag'

const wheres = ['own', 'others', 'mirrored'] as const

export default function ListPage() {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const may = useMay()
  const tenant = useTenantInView()
  const repositories = useQuery(repositoriesQuery)
  const registry = useQuery(registryQuery)
  const [search, setSearch] = useSearchParams()
  const set = (name: string, value: string) =>
    setSearch(
      (old) => {
        if (value) old.set(name, value)
        else old.delete(name)
        return old
      },
      { replace: true },
    )
  const wanted = (search.get('q') ?? '').toLowerCase()
  const where = search.get('of') ?? ''
  const whose = (repository: Repository) => (repository.upstream ? 'mirrored' : repository.tenantId === tenant?.id ? 'own' : 'others')
  const rows = useMemo(
    () =>
      (repositories.data?.items ?? [])
        .filter((repository) => (repository.path.includes(wanted) || (repository.spec.description ?? '').toLowerCase().includes(wanted)) && (!where || (repository.upstream ? 'mirrored' : repository.tenantId === tenant?.id ? 'own' : 'others') === where))
        .sort((a, b) => a.path.localeCompare(b.path)),
    [repositories.data, wanted, where, tenant?.id],
  )
  const columns: TableColumnsType<Repository> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, repository) => (
        <>
          <span className="sk-namecell">
            <Link className="sk-name" to={repositoryPath(repository)}>
              {repository.path}
            </Link>
            {whose(repository) === 'mirrored' ? <Tag>{t('repository.mirrored')}</Tag> : <VisibilityTag visibility={repository.spec.visibility} />}
            {whose(repository) === 'others' && <Tag>{t('repository.ofOthers', { name: repository.tenant })}</Tag>}
          </span>
          {repository.spec.description && <div className="sk-description sk-clip">{repository.spec.description}</div>}
        </>
      ),
    },
    { key: 'tags', title: t('repository.tags'), align: 'right', render: (_, repository) => <span className="sk-number">{repository.status.tags}</span> },
    { key: 'size', title: t('column.size'), align: 'right', render: (_, repository) => <span className="sk-number">{formatBytes(repository.status.sizeBytes)}</span> },
    { key: 'pushed', title: t('repository.pushed'), align: 'right', responsive: ['sm'], render: (_, repository) => <span className="sk-nowrap"><Time at={repository.status.pushedAt} /></span> },
  ]
  const mayCreate = may('image.write')
  const create = (
    <Button type="primary" icon={<PlusOutlined />} onClick={() => set('do', 'create')}>
      {t('repository.create')}
    </Button>
  )
  const none = repositories.data?.items.length === 0
  const host = registry.data?.hosts[0]
  return (
    <Page title={t('nav.repositories')} plainTitle={t('nav.repositories')} actions={!none && mayCreate ? create : undefined}>
      {repositories.isError && <ProblemAlert problem={asProblem(repositories.error)} retry={() => void repositories.refetch()} />}
      {none ? (
        <Section>
          <EmptyState sentence={t('repository.empty')} action={mayCreate ? create : undefined} command={host && tenant ? `docker push ${host}/${tenant.name}/web:1.0` : undefined} />
        </Section>
      ) : (
        <>
          <div className="sk-toolbar">
            <Input.Search allowClear style={{ width: 260 }} placeholder={t('repository.filter')} aria-label={t('repository.filter')} value={search.get('q') ?? ''} onChange={(event) => set('q', event.target.value)} />
            <Select
              style={{ width: 180 }}
              aria-label={t('repository.whose')}
              value={where}
              onChange={(value) => set('of', value)}
              options={[{ value: '', label: t('repository.all') }, ...wheres.map((each) => ({ value: each, label: t(`repository.where.${each}`) }))]}
            />
          </div>
          <Section flush>
            <Table
              rowKey="id"
              size="middle"
              columns={columns}
              dataSource={rows}
              loading={repositories.isPending}
              pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }}
              locale={{ emptyText: repositories.isPending ? ' ' : t('repository.noMatch') }}
            />
          </Section>
        </>
      )}
      <StorageSummary />
      {search.get('do') === 'create' && mayCreate && <RepositoryDialog onClose={() => set('do', '')} onCreated={(made) => void navigate(`${repositoryPath(made)}?tab=push`)} />}
    </Page>
  )
}
