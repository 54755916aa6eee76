import { DeleteOutlined, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Input, Select, Space } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { App, Service } from '@/api/model'
import { useMay } from '@/api/may'
import { asProblem } from '@/api/problem'
import { appsQuery, servicesQuery } from '@/api/queries'
import { useScopeEnvironment } from '@/api/scope'
import { newest, useServiceSpark } from '@/api/sparks'
import { appWord } from '@/api/status'
import { Sparkline } from '@/shared/charts/Sparkline'
import { formatBytes, formatCores } from '@/shared/lib/format'
import { shortImage } from '@/shared/lib/image'
import { sortedBy, useListState } from '@/shared/lib/listState'
import { commandLine } from '@/shared/lib/shell'
import { statusWords } from '@/shared/lib/status'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { VirtualTable, type VirtualColumn } from '@/shared/ui/VirtualTable'
import { BulkRemoveDialog } from './BulkRemoveDialog'
import { Ports } from '@/shared/ui/Ports'
import { useAppsAction } from './queries'

const filterable = statusWords.filter((word) => !['updating', 'draining', 'unknown'].includes(word))
/** Trouble first. */
const weight = (app: App) => ['failed', 'degraded', 'starting', 'updating', 'stopping', 'removing', 'running', 'completed', 'stopped', 'unknown'].indexOf(appWord(app))
const values = {
  status: weight,
  image: (app: App) => images(app)[0] ?? '',
  replicas: (app: App) => app.status.desired,
  age: (app: App) => -Date.parse(app.createdAt),
}

export default function ListPage() {
  const { t } = useTranslation()
  const may = useMay()
  const { message } = AntApp.useApp()
  const apps = useQuery(appsQuery)
  const services = useQuery(servicesQuery())
  const environment = useScopeEnvironment()
  const list = useListState('name')
  const wanted = list.of('q').toLowerCase()
  const status = list.of('status')
  const { key: sortKey, down: sortDown } = list.sort
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set())
  const [removing, setRemoving] = useState<App[] | null>(null)
  const act = useAppsAction()
  // Rows keep their place while they change: by default they are sorted by name, never by what moves.
  const rows = useMemo(
    () =>
      sortedBy(
        (apps.data?.items ?? []).filter(
          (app) =>
            (!wanted || app.name.includes(wanted) || app.id === wanted || images(app).some((image) => image.includes(wanted))) && (!status || appWord(app) === status) && (!environment || app.environmentId === environment),
        ),
        { key: sortKey, down: sortDown },
        values,
      ),
    [apps.data, wanted, status, environment, sortKey, sortDown],
  )
  const ids = useMemo(() => byApp(services.data?.items), [services.data])
  const columns = useMemo<VirtualColumn<App>[]>(
    () => [
      {
        key: 'name',
        title: t('column.name'),
        width: 'minmax(0, 2.4fr)',
        sortable: true,
        render: (app) => (
          <span className="sk-namecell sk-namecell-line">
            <StatusBadge status={appWord(app)} />
            <Link className="sk-name" to={`/apps/${encodeURIComponent(app.name)}`}>
              {app.name}
            </Link>
          </span>
        ),
      },
      { key: 'replicas', title: t('column.replicas'), width: '76px', align: 'right', sortable: true, render: (app) => <span className="sk-number">{app.status.running}/{app.status.desired}</span> },
      { key: 'image', title: t('column.image'), width: 'minmax(100px, 1.8fr)', from: 'md', sortable: true, render: (app) => <Images app={app} /> },
      { key: 'ports', title: t('column.ports'), width: 'minmax(64px, 1fr)', from: 'sm', render: (app) => <Ports ports={app.status.ports} /> },
      { key: 'cpu', title: t('measure.cpuShort'), width: '124px', align: 'right', from: 'lg', render: (app) => <Load app={app} services={ids.get(app.id)} of="cpu" /> },
      { key: 'memory', title: t('measure.memory'), width: '144px', align: 'right', from: 'lg', render: (app) => <Load app={app} services={ids.get(app.id)} of="memory" /> },
      { key: 'age', title: t('column.age'), width: '110px', align: 'right', from: 'md', sortable: true, render: (app) => <Time at={app.createdAt} /> },
    ],
    [t, ids],
  )
  const chosen = rows.filter(({ id }) => selected.has(id))
  const run = (action: 'start' | 'stop') =>
    act.mutate(
      { apps: chosen, action },
      {
        onSuccess: ({ done, failures }) => {
          if (done > 0) message.success(t(`bulk.${action}`, { count: done }))
          for (const { name, error } of failures.slice(0, 3)) message.error(`${name}: ${asProblem(error).message}`, 10)
          setSelected(new Set())
        },
      },
    )
  const writes = may('app.write')
  const deploy = writes ? (
    <Link to="/apps/new">
      <Button type="primary" icon={<PlusOutlined />}>
        {t('apps.deploy')}
      </Button>
    </Link>
  ) : undefined
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
            <Input.Search allowClear style={{ width: 260 }} placeholder={t('apps.filter')} aria-label={t('apps.filter')} value={list.of('q')} onChange={(event) => list.set('q', event.target.value)} />
            <Select
              style={{ width: 150 }}
              aria-label={t('column.status')}
              value={status}
              onChange={(value) => list.set('status', value)}
              options={[{ value: '', label: t('apps.allStatus') }, ...filterable.map((word) => ({ value: word, label: t(`status.${word}`) }))]}
            />
            {(wanted || status) && apps.data ? (
              <span className="sk-muted" role="status">
                {t('list.shown', { count: rows.length, all: apps.data.items.length })}
              </span>
            ) : null}
          </div>
          <section className="sk-section">
            {chosen.length > 0 && (
              <div className="sk-bulk" role="toolbar" aria-label={t('bulk.title')}>
                <span>{t('bulk.chosen', { count: chosen.length })}</span>
                <Space wrap>
                  <Button size="small" loading={act.isPending} onClick={() => run('start')}>
                    {t('action.start')}
                  </Button>
                  <Button size="small" loading={act.isPending} onClick={() => run('stop')}>
                    {t('action.stop')}
                  </Button>
                  <Button size="small" danger icon={<DeleteOutlined />} onClick={() => setRemoving(chosen)}>
                    {t('action.remove')}
                  </Button>
                  <Button size="small" type="text" onClick={() => setSelected(new Set())}>
                    {t('bulk.none')}
                  </Button>
                </Space>
              </div>
            )}
            {apps.isPending ? null : rows.length === 0 ? (
              <p className="sk-muted sk-section-body">{t('apps.noMatch')}</p>
            ) : (
              <VirtualTable
                label={t('nav.apps')}
                rows={rows}
                rowKey={rowKey}
                rowName={rowName}
                columns={columns}
                sort={list.sort}
                onSort={list.setSort}
                selected={writes ? selected : undefined}
                onSelect={writes ? setSelected : undefined}
              />
            )}
          </section>
          {apps.data?.nextCursor && <p className="sk-muted">{t('list.cut', { count: apps.data.items.length })}</p>}
        </>
      )}
      {removing && (
        <BulkRemoveDialog
          apps={removing}
          command={commandLine('skerry', 'app', 'rm', ...removing.map(({ name }) => name))}
          onClose={(done) => {
            setRemoving(null)
            if (done) setSelected(new Set())
          }}
        />
      )}
    </Page>
  )
}

const rowKey = ({ id }: App) => id
const rowName = ({ name }: App) => name

/** The short names of an app's images, each once. */
function images(app: App): string[] {
  return [...new Set(Object.values(app.spec.services).map((service) => shortImage(service.container.image)))]
}

function Images({ app }: { app: App }) {
  const [first, ...more] = images(app)
  return (
    <span title={images(app).join('\n')}>
      {first}
      {more.length > 0 && <span className="sk-muted"> +{more.length}</span>}
    </span>
  )
}

function byApp(services: Service[] | undefined): Map<string, string[]> {
  const ids = new Map<string, string[]>()
  for (const { id, appId } of services ?? []) ids.set(appId, [...(ids.get(appId) ?? []), id])
  return ids
}

const noServices: string[] = []

/** What an app uses now and used lately, over all its containers. */
function Load({ app, services = noServices, of }: { app: App; services: string[] | undefined; of: 'cpu' | 'memory' }) {
  const spark = useServiceSpark(services, app.status.running > 0 && services.length <= 8)
  const values = spark?.[of] ?? []
  const now = newest(values)
  if (now === null || app.status.running === 0) return <span className="sk-muted">–</span>
  return (
    <span className="sk-load">
      <Sparkline values={values} width={56} />
      <span className="sk-number">{of === 'cpu' ? formatCores(now) : formatBytes(now)}</span>
    </span>
  )
}
