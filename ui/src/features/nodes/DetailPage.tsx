import { useQuery } from '@tanstack/react-query'
import { Table, Tabs, Tag, type TableColumnsType } from 'antd'
import { lazy, Suspense } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useParams, useSearchParams } from 'react-router'
import type { Container, Node } from '@/api/model'
import { asProblem } from '@/api/problem'
import { containersQuery, nodeQuery, nodeStatsQuery } from '@/api/queries'
import { containerWord, shownCondition } from '@/api/status'
import { formatBytes, formatDuration, formatPercent } from '@/shared/lib/format'
import { shortImage } from '@/shared/lib/image'
import { usePreferences } from '@/shared/lib/preferences'
import { commandLine, curl } from '@/shared/lib/shell'
import { Conditions } from '@/shared/ui/Conditions'
import { CopyLine } from '@/shared/ui/CopyButton'
import { Meter } from '@/shared/ui/Meter'
import { Facts, Page, PageSkeleton, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { NodeStatus } from './NodeStatus'

const ChartsTab = lazy(() => import('./ChartsTab'))
const tabs = ['overview', 'charts', 'containers'] as const

export default function DetailPage() {
  const { t } = useTranslation()
  const { ref = '' } = useParams()
  const node = useQuery(nodeQuery(ref))
  const back = <Link to="/nodes">{t('nav.nodes')}</Link>
  if (node.isPending) return <PageSkeleton />
  if (!node.data) {
    return (
      <Page title={ref} plainTitle={ref} back={back}>
        <ProblemAlert problem={asProblem(node.error)} retry={() => void node.refetch()} />
      </Page>
    )
  }
  return <Detail node={node.data} lost={node.isError ? asProblem(node.error) : null} />
}

function Detail({ node, lost }: { node: Node; lost: ReturnType<typeof asProblem> | null }) {
  const { t } = useTranslation()
  const [search, setSearch] = useSearchParams()
  const tab = tabs.find((each) => each === search.get('tab')) ?? 'overview'
  const { spec, status } = node
  const labels = Object.entries(spec.labels ?? {})
  const content = {
    overview: (
      <div className="sk-columns">
        <Section title={t('node.load')}>
          <Load node={node} />
        </Section>
        <Section title={t('node.facts')}>
          <Facts
            items={[
              { label: t('measure.coresTitle'), value: status.cpus },
              { label: t('measure.memory'), value: formatBytes(status.memoryBytes) },
              { label: t('column.address'), value: status.address },
              { label: t('node.block'), value: node.blocks?.join(', ') || '–' },
              { label: 'Skerry', value: status.skerryVersion },
              { label: t('node.engine'), value: status.engineVersion },
              { label: t('node.os'), value: status.os },
              { label: t('node.kernel'), value: `${status.kernel} ${status.architecture}` },
              { label: t('node.joined'), value: <Time at={node.createdAt} /> },
              { label: t('node.labels'), value: labels.length > 0 ? labels.map(([name, value]) => <Tag key={name}>{`${name}=${value}`}</Tag>) : '–' },
              { label: t('column.id'), value: <CopyLine text={node.id} /> },
            ]}
          />
        </Section>
      </div>
    ),
    charts: <ChartsTab node={node} />,
    containers: (
      <Section flush>
        <Containers node={node} />
      </Section>
    ),
  }
  return (
    <Page
      title={node.name}
      plainTitle={node.name}
      back={<Link to="/nodes">{t('nav.nodes')}</Link>}
      beside={<NodeStatus node={node} />}
      actions={<SameAs cli={commandLine('skerry', 'node', 'inspect', node.name)} api={curl({ path: `/nodes/${encodeURIComponent(node.name)}` })} />}
    >
      {lost && <ProblemAlert problem={lost} />}
      <Conditions conditions={(status.conditions ?? []).map((condition) => shownCondition(condition, status.ready ? 'warning' : 'error'))} />
      <Tabs
        activeKey={tab}
        onChange={(key) => setSearch(key === 'overview' ? {} : { tab: key })}
        destroyOnHidden
        items={tabs.map((key) => ({ key, label: t(`containers.tab.${key}`), children: <Suspense fallback={<PageSkeleton />}>{content[key]}</Suspense> }))}
      />
    </Page>
  )
}

function Load({ node }: { node: Node }) {
  const { t } = useTranslation()
  const { language } = usePreferences()
  const stats = useQuery(nodeStatsQuery(node.id))
  if (stats.isError && !stats.data) return <ProblemAlert problem={asProblem(stats.error)} />
  if (!stats.data) return <p className="sk-muted">{t('measure.none')}</p>
  const now = stats.data
  return (
    <div className="sk-meters">
      <Meter label={t('measure.cpu', { count: now.cpus })} value={now.cpuPercent / 100} limit={1} format={formatPercent} hideLimit />
      <Meter label={t('measure.memory')} value={now.memoryUsedBytes} limit={now.memoryTotalBytes} format={formatBytes} />
      <Meter label={t('measure.disk')} value={now.diskUsedBytes} limit={now.diskTotalBytes} format={formatBytes} />
      <Facts
        items={[
          { label: t('node.loadAverage'), value: [now.load1, now.load5, now.load15].map((load) => load.toFixed(2)).join('  ') },
          { label: t('dashboard.containers'), value: now.containersRunning },
          { label: t('node.network'), value: `${formatBytes(now.networkRxBytes)} / ${formatBytes(now.networkTxBytes)}` },
          { label: t('node.uptime'), value: formatDuration(now.uptimeSeconds, language) },
        ]}
      />
    </div>
  )
}

function Containers({ node }: { node: Node }) {
  const { t } = useTranslation()
  const containers = useQuery(containersQuery({ node: node.id }))
  const columns: TableColumnsType<Container> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, container) => (
        <span className="sk-namecell">
          <StatusBadge status={containerWord(container)} />
          <Link className="sk-name" to={`/containers/${encodeURIComponent(container.name)}`}>
            {container.name}
          </Link>
        </span>
      ),
    },
    { key: 'app', title: t('column.app'), render: (_, container) => <Link to={`/apps/${encodeURIComponent(container.appId)}`}>{container.appName}</Link> },
    { key: 'image', title: t('column.image'), responsive: ['md'], render: (_, container) => shortImage(container.spec.image) },
    { key: 'address', title: t('column.address'), responsive: ['md'], render: (_, container) => <span className="sk-number">{container.assign.address ?? '–'}</span> },
  ]
  if (containers.isError) return <ProblemAlert problem={asProblem(containers.error)} />
  return (
    <Table
      rowKey="id"
      size="middle"
      columns={columns}
      dataSource={containers.data?.items}
      loading={containers.isPending}
      pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }}
      locale={{ emptyText: containers.isPending ? ' ' : t('app.noContainers') }}
    />
  )
}
