import { useQuery } from '@tanstack/react-query'
import { Button, Input, Select, Table, Tag, type TableColumnsType } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { useMay } from '@/api/may'
import type { Node, NodeStats } from '@/api/model'
import { asProblem } from '@/api/problem'
import { environmentsQuery, nodesQuery, quorumQuery, statusQuery } from '@/api/queries'
import { nodeHealth } from '@/api/status'
import { formatBytes, formatPercent } from '@/shared/lib/format'
import { sortedBy, useListState } from '@/shared/lib/listState'
import { PlusOutlined } from '@/shared/ui/icons'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { QuorumPanel } from '@/shared/ui/QuorumPanel'
import { AddNodeDialog } from './AddNodeDialog'
import { Availability } from './Drain'
import { JoinTokens } from './JoinTokens'
import { healthFilters, partOf, roleFilters, select } from './list'
import './nodes.css'
import { Health, NodeStatus, Role } from './NodeStatus'

export default function ListPage() {
  const { t } = useTranslation()
  const may = useMay()
  const nodes = useQuery(nodesQuery)
  const quorum = useQuery(quorumQuery)
  const status = useQuery(statusQuery)
  const environments = useQuery(environmentsQuery).data?.items ?? []
  const { of, set, sort, setSort } = useListState('name')
  const [adding, setAdding] = useState(of('do') === 'add')
  const all = nodes.data?.items
  const members = quorum.data?.members
  const stats = useMemo(() => new Map((status.data?.nodes ?? []).flatMap(({ id, stats }) => (stats ? [[id, stats] as const] : []))), [status.data])
  const load = (node: Node, value: (stats: NodeStats) => number) => {
    const measured = stats.get(node.id)
    return measured ? value(measured) : -1
  }
  const environmentName = (id: string) => environments.find((each) => each.id === id)?.name ?? id
  const rows = sortedBy(select(all ?? [], { q: of('q'), role: of('role'), health: of('health'), availability: of('availability'), environment: of('environment') }, members), sort, {
    name: ({ name }) => name,
    cpu: (node) => load(node, ({ cpuPercent }) => cpuPercent),
    memory: (node) => load(node, (measured) => measured.memoryUsedBytes / measured.memoryTotalBytes),
    containers: (node) => load(node, ({ containersRunning }) => containersRunning),
    version: ({ status }) => status.skerryVersion,
  })
  const order = (key: string) => (sort.key === key ? (sort.down ? ('descend' as const) : ('ascend' as const)) : null)
  const columns: TableColumnsType<Node> = [
    {
      key: 'name',
      title: t('column.name'),
      sorter: true,
      sortOrder: order('name'),
      render: (_, node) => (
        <div className="sk-node-name">
          <NodeStatus node={node} quiet />
          <div>
            <Link className="sk-name" to={`/nodes/${encodeURIComponent(node.name)}`}>
              {node.name}
            </Link>
            <div className="sk-muted sk-number sk-hide-narrow">
              {node.status.address}
              {environments.length > 1 && ` · ${environmentName(node.environmentId)}`}
            </div>
          </div>
        </div>
      ),
    },
    { key: 'health', title: t('nodes.healthTitle'), render: (_, node) => <Health node={node} /> },
    { key: 'role', title: t('column.role'), render: (_, node) => <Role node={node} part={partOf(node, members)} /> },
    { key: 'availability', title: t('nodes.availabilityTitle'), responsive: ['lg'], render: (_, node) => <Availability node={node} /> },
    { key: 'cpu', title: t('nodes.cpu'), responsive: ['md'], sorter: true, sortOrder: order('cpu'), render: (_, node) => <Load stats={stats.get(node.id)} of={({ cpuPercent }) => cpuPercent / 100} title={t('measure.cpu', { count: node.status.cpus })} limit={t('measure.cores', { count: node.status.cpus, shown: node.status.cpus })} /> },
    { key: 'memory', title: t('measure.memory'), responsive: ['md'], sorter: true, sortOrder: order('memory'), render: (_, node) => <Load stats={stats.get(node.id)} of={(measured) => measured.memoryUsedBytes / measured.memoryTotalBytes} title={t('measure.memory')} limit={formatBytes(node.status.memoryBytes)} /> },
    { key: 'containers', title: t('nav.containers'), align: 'right', responsive: ['lg'], sorter: true, sortOrder: order('containers'), render: (_, node) => <span className="sk-number">{stats.get(node.id)?.containersRunning ?? '–'}</span> },
    { key: 'version', title: t('column.version'), responsive: ['xl'], sorter: true, sortOrder: order('version'), render: (_, { status }) => status.skerryVersion || '–' },
    { key: 'labels', title: t('node.labels'), responsive: ['xxl'], render: (_, { spec }) => <span className="sk-labels">{Object.entries(spec.labels ?? {}).map(([key, value]) => <Tag key={key}>{`${key}=${value}`}</Tag>)}</span> },
  ]
  const choice = (name: string, label: string, any: string, options: { value: string; label: string }[], width = 140) => (
    <Select style={{ width }} aria-label={label} value={of(name)} onChange={(value) => set(name, value)} options={[{ value: '', label: any }, ...options]} />
  )
  const close = () => {
    setAdding(false)
    set('do', '')
  }
  const up = all?.filter((node) => nodeHealth(node) === 'up').length ?? 0
  return (
    <Page
      title={t('nav.nodes')}
      plainTitle={t('nav.nodes')}
      beside={all && <span className="sk-muted sk-number">{t('dashboard2.nodes', { ready: up, count: all.length })}</span>}
      actions={
        may('platform.write') && (
          <Button type="primary" icon={<PlusOutlined />} onClick={() => setAdding(true)}>
            {t('join.title')}
          </Button>
        )
      }
    >
      {quorum.isError && !quorum.data && <ProblemAlert problem={asProblem(quorum.error)} retry={() => void quorum.refetch()} />}
      {quorum.data && <QuorumPanel quorum={quorum.data} />}
      {nodes.isError && <ProblemAlert problem={asProblem(nodes.error)} retry={() => void nodes.refetch()} />}
      {(all?.length ?? 0) > 1 && (
        <div className="sk-toolbar">
          <Input.Search allowClear style={{ width: 240 }} placeholder={t('nodes.filter')} aria-label={t('nodes.filter')} value={of('q')} onChange={(event) => set('q', event.target.value)} />
          {choice('role', t('column.role'), t('nodes.anyRole'), roleFilters.map((role) => ({ value: role, label: t(`nodes.roleFilter.${role}`) })))}
          {choice('health', t('nodes.healthTitle'), t('nodes.anyHealth'), healthFilters.map((health) => ({ value: health, label: t(`nodes.health.${health}`) })))}
          {choice('availability', t('nodes.availabilityTitle'), t('nodes.anyAvailability'), (['active', 'drain'] as const).map((each) => ({ value: each, label: t(`nodes.availability.${each}`) })), 160)}
          {environments.length > 1 && choice('environment', t('join.environment'), t('scope.everyEnvironment'), environments.map(({ id, name }) => ({ value: id, label: name })), 160)}
        </div>
      )}
      <Section flush>
        <Table
          rowKey="id"
          size="middle"
          columns={columns}
          dataSource={rows}
          loading={nodes.isPending}
          showSorterTooltip={false}
          pagination={{ pageSize: 100, hideOnSinglePage: true, showSizeChanger: false }}
          onChange={(_, __, sorter) => {
            const one = Array.isArray(sorter) ? sorter[0] : sorter
            setSort(one?.order ? { key: String(one.columnKey), down: one.order === 'descend' } : { key: 'name', down: false })
          }}
          locale={{ emptyText: nodes.isPending ? ' ' : t('nodes.noMatch') }}
        />
      </Section>
      <JoinTokens />
      {adding && <AddNodeDialog members={members?.length ?? 1} onClose={close} />}
    </Page>
  )
}

/** A share of what a node has, as a thin bar with its number; the whole is its tooltip. */
function Load({ stats, of, title, limit }: { stats: NodeStats | undefined; of: (stats: NodeStats) => number; title: string; limit: string }) {
  if (!stats) return <span className="sk-muted">–</span>
  const share = Math.min(1, of(stats))
  const tone = share > 0.95 ? 'red' : share > 0.8 ? 'orange' : 'accent'
  return (
    <div className="sk-node-load" title={`${title}: ${formatPercent(share)} / ${limit}`}>
      <span className="sk-number">{formatPercent(share)}</span>
      <div className="sk-meter-track" role="meter" aria-label={title} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(share * 100)}>
        <div style={{ width: `${share * 100}%`, background: `var(--sk-${tone})` }} />
      </div>
    </div>
  )
}
