import { PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Input, Select, Table, type TableColumnsType } from 'antd'
import { useMemo } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useSearchParams } from 'react-router'
import type { App } from '@/api/model'
import { asProblem } from '@/api/problem'
import { appsQuery } from '@/api/queries'
import { appWord } from '@/api/status'
import { shortImage } from '@/shared/lib/image'
import { statusWords } from '@/shared/lib/status'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { Ports } from './Ports'

const filterable = statusWords.filter((word) => !['updating', 'draining', 'unknown'].includes(word))

export default function ListPage() {
  const { t } = useTranslation()
  const apps = useQuery(appsQuery)
  const [search, setSearch] = useSearchParams()
  const wanted = (search.get('q') ?? '').toLowerCase()
  const status = search.get('status') ?? ''
  const set = (name: string, value: string) =>
    setSearch(
      (old) => {
        if (value) old.set(name, value)
        else old.delete(name)
        return old
      },
      { replace: true },
    )
  // Rows keep their place while they change: they are sorted by name, never by what moves.
  const rows = useMemo(
    () =>
      (apps.data?.items ?? [])
        .filter((app) => (!wanted || app.name.includes(wanted) || images(app).some((image) => image.includes(wanted))) && (!status || appWord(app) === status))
        .sort((a, b) => a.name.localeCompare(b.name)),
    [apps.data, wanted, status],
  )
  const deploy = (
    <Link to="/apps/new">
      <Button type="primary" icon={<PlusOutlined />}>
        {t('apps.deploy')}
      </Button>
    </Link>
  )
  const columns: TableColumnsType<App> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, app) => (
        <span className="sk-namecell">
          <StatusBadge status={appWord(app)} />
          <Link className="sk-name" to={`/apps/${encodeURIComponent(app.name)}`}>
            {app.name}
          </Link>
        </span>
      ),
    },
    { key: 'image', title: t('column.image'), responsive: ['md'], render: (_, app) => images(app).map((image) => <div key={image}>{image}</div>) },
    {
      key: 'replicas',
      title: t('column.replicas'),
      align: 'right',
      render: (_, app) => (
        <span className="sk-number">
          {app.status.running}/{app.status.desired}
        </span>
      ),
    },
    { key: 'ports', title: t('column.ports'), render: (_, app) => <Ports ports={app.status.ports} /> },
    { key: 'age', title: t('column.age'), align: 'right', responsive: ['sm'], render: (_, app) => <span className="sk-nowrap"><Time at={app.createdAt} /></span> },
  ]
  const none = apps.data?.items.length === 0
  return (
    <Page title={t('nav.apps')} plainTitle={t('nav.apps')} actions={none ? undefined : deploy}>
      {apps.isError && <ProblemAlert problem={asProblem(apps.error)} retry={() => void apps.refetch()} />}
      {none ? (
        <Section>
          <EmptyState sentence={t('apps.empty')} action={deploy} command="skerry run -n hello -p :80 welcome" />
        </Section>
      ) : (
        <>
          <div className="sk-toolbar">
            <Input.Search
              allowClear
              style={{ width: 260 }}
              placeholder={t('apps.filter')}
              aria-label={t('apps.filter')}
              value={search.get('q') ?? ''}
              onChange={(event) => set('q', event.target.value)}
            />
            <Select
              style={{ width: 150 }}
              aria-label={t('column.status')}
              value={status}
              onChange={(value) => set('status', value)}
              options={[{ value: '', label: t('apps.allStatus') }, ...filterable.map((word) => ({ value: word, label: t(`status.${word}`) }))]}
            />
          </div>
          <Section flush>
            <Table
              rowKey="id"
              size="middle"
              columns={columns}
              dataSource={rows}
              loading={apps.isPending}
              pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }}
              locale={{ emptyText: apps.isPending ? ' ' : t('apps.noMatch') }}
            />
          </Section>
        </>
      )}
    </Page>
  )
}

/** The short names of an app's images, each once. */
function images(app: App): string[] {
  return [...new Set(Object.values(app.spec.services).map((service) => shortImage(service.container.image)))]
}
