import { useQuery } from '@tanstack/react-query'
import { Table, Tag, type TableColumnsType } from 'antd'
import { useTranslation } from 'react-i18next'
import { Link, useParams } from 'react-router'
import type { Container, Node } from '@/api/model'
import { asProblem } from '@/api/problem'
import { containersQuery, nodeQuery, nodeStatsQuery } from '@/api/queries'
import { containerWord, shownCondition } from '@/api/status'
import { formatBytes, formatDuration, formatPercent } from '@/shared/lib/format'
import { shortImage } from '@/shared/lib/image'
import { usePreferences } from '@/shared/lib/preferences'
import { Conditions } from '@/shared/ui/Conditions'
import { CopyLine } from '@/shared/ui/CopyButton'
import { Meter } from '@/shared/ui/Meter'
import { Facts, Page, PageSkeleton, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { NodeStatus } from './NodeStatus'

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
  const { spec, status } = node.data
  const labels = Object.entries(spec.labels ?? {})
  return (
    <Page title={node.data.name} plainTitle={node.data.name} back={back} beside={<NodeStatus node={node.data} />}>
      <Conditions conditions={(status.conditions ?? []).map((condition) => shownCondition(condition, status.ready ? 'warning' : 'error'))} />
      <div className="sk-columns">
        <Section title={t('node.load')}>
          <Load node={node.data} />
        </Section>
        <Section title={t('node.facts')}>
          <Facts
            items={[
              { label: t('measure.coresTitle'), value: status.cpus },
              { label: t('measure.memory'), value: formatBytes(status.memoryBytes) },
              { label: t('column.address'), value: status.address },
              { label: t('node.block'), value: node.data.blocks?.join(', ') || '–' },
              { label: 'Skerry', value: status.skerryVersion },
              { label: t('node.engine'), value: status.engineVersion },
              { label: t('node.os'), value: status.os },
              { label: t('node.kernel'), value: `${status.kernel} ${status.architecture}` },
              { label: t('node.joined'), value: <Time at={node.data.createdAt} /> },
              { label: t('node.labels'), value: labels.length > 0 ? labels.map(([name, value]) => <Tag key={name}>{`${name}=${value}`}</Tag>) : '–' },
              { label: t('column.id'), value: <CopyLine text={node.data.id} /> },
            ]}
          />
        </Section>
      </div>
      <Section title={t('app.containers')} flush>
        <Containers node={node.data} />
      </Section>
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
          <span className="sk-name">{container.name}</span>
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
