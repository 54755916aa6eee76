import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Dropdown, Table, Tabs, type TableColumnsType } from 'antd'
import { lazy, Suspense, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate, useParams, useSearchParams } from 'react-router'
import { useMay } from '@/api/may'
import type { Container, Node } from '@/api/model'
import { asProblem } from '@/api/problem'
import { environmentsQuery, nodeQuery, nodeStatsQuery, quorumQuery, sessionQuery, volumesQuery } from '@/api/queries'
import { useScopeTenant } from '@/api/scope'
import { containerWord, nodeHealth, shownCondition } from '@/api/status'
import { formatBytes, formatDuration, formatPercent } from '@/shared/lib/format'
import { shortImage } from '@/shared/lib/image'
import { usePreferences } from '@/shared/lib/preferences'
import { say } from '@/shared/lib/sentences'
import { commandLine, curl } from '@/shared/lib/shell'
import { Conditions, type ConditionLike } from '@/shared/ui/Conditions'
import { CopyLine } from '@/shared/ui/CopyButton'
import { CaretRightOutlined, DeleteOutlined, MoreOutlined, PauseOutlined } from '@/shared/ui/icons'
import { Meter } from '@/shared/ui/Meter'
import { Facts, Page, PageSkeleton, Section } from '@/shared/ui/Page'
import { PageProblem } from '@/shared/ui/PageProblem'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { DrainDialog, RemoveNodeDialog, VoteDialog } from './Dialogs'
import { DrainPanel } from './Drain'
import { LabelsSection } from './Labels'
import { partOf } from './list'
import './nodes.css'
import { NodeStatus, Role } from './NodeStatus'
import { nodeContainersQuery, useNodeAction } from './queries'

const ChartsTab = lazy(() => import('./ChartsTab'))
const tabs = ['overview', 'charts', 'containers'] as const

export default function DetailPage() {
  const { t } = useTranslation()
  const { ref = '' } = useParams()
  const node = useQuery(nodeQuery(ref))
  if (node.isPending) return <PageSkeleton />
  if (!node.data) return <PageProblem title={ref} back={<Link to="/nodes">{t('nav.nodes')}</Link>} problem={asProblem(node.error)} retry={() => void node.refetch()} />
  return <Detail node={node.data} lost={node.isError ? asProblem(node.error) : null} />
}

/** Why a node is not as asked: the leader's word that it is down, then what it says of itself. */
function conditionsOf(node: Node): ConditionLike[] {
  const down = nodeHealth(node) === 'down'
  const own = (node.status.conditions ?? []).map((condition) => shownCondition(condition, node.status.ready ? 'warning' : 'error'))
  // Of a node that is down nobody knows whether what it last said still holds, so only the leader's word stands.
  return down ? [{ type: 'Health', reason: 'NodeDown', sentence: node.health?.reason ?? '', severity: 'error', since: node.health?.since }] : own
}

function Detail({ node, lost }: { node: Node; lost: ReturnType<typeof asProblem> | null }) {
  const { t } = useTranslation()
  const may = useMay()
  const [search, setSearch] = useSearchParams()
  const quorum = useQuery(quorumQuery)
  const environments = useQuery(environmentsQuery)
  const containers = useQuery(nodeContainersQuery(node.id, may('platform.read')))
  const tab = tabs.find((each) => each === search.get('tab')) ?? 'overview'
  const { status } = node
  const part = partOf(node, quorum.data?.members)
  const content = {
    overview: (
      <>
        <div className="sk-columns">
          <Section title={t('node.load')}>
            <Load node={node} />
          </Section>
          <Section title={t('node.facts')}>
            <Facts
              items={[
                { label: t('column.role'), value: <Role node={node} part={part} /> },
                { label: t('join.environment'), value: environments.data?.items.find(({ id }) => id === node.environmentId)?.name ?? node.environmentId },
                { label: t('column.address'), value: status.address },
                { label: t('nodes.availabilityTitle'), value: t(`nodes.availability.${node.spec.availability ?? 'active'}`) },
                { label: t('measure.coresTitle'), value: status.cpus },
                { label: t('measure.memory'), value: formatBytes(status.memoryBytes) },
                { label: t('node.block'), value: node.blocks?.join(', ') || '–' },
                { label: 'Skerry', value: status.skerryVersion || '–' },
                { label: t('node.engine'), value: status.engineVersion || '–' },
                { label: t('node.os'), value: status.os || '–' },
                { label: t('node.kernel'), value: `${status.kernel} ${status.architecture}` },
                { label: t('node.joined'), value: <Time at={node.createdAt} /> },
                { label: t('column.id'), value: <CopyLine text={node.id} /> },
              ]}
            />
          </Section>
        </div>
        <LabelsSection node={node} />
      </>
    ),
    charts: <ChartsTab node={node} />,
    containers: (
      <Section flush>
        <Containers containers={containers.data?.items} problem={containers.isError && !containers.data ? asProblem(containers.error) : null} retry={() => void containers.refetch()} />
      </Section>
    ),
  }
  return (
    <Page
      title={node.name}
      plainTitle={node.name}
      back={<Link to="/nodes">{t('nav.nodes')}</Link>}
      beside={
        <>
          <NodeStatus node={node} />
          <span className="sk-muted">
            <Role node={node} part={part} />
          </span>
        </>
      }
      actions={<Actions node={node} containers={containers.data?.items} leader={part === 'leader'} />}
    >
      {lost && <ProblemAlert problem={lost} />}
      <Conditions conditions={conditionsOf(node)} />
      {node.spec.availability === 'drain' && <DrainPanel node={node} />}
      <Tabs
        activeKey={tab}
        onChange={(key) => setSearch(key === 'overview' ? {} : { tab: key })}
        destroyOnHidden
        items={tabs.map((key) => ({ key, label: t(`containers.tab.${key}`), children: <Suspense fallback={<PageSkeleton />}>{content[key]}</Suspense> }))}
      />
    </Page>
  )
}

type Dialog = 'drain' | 'promote' | 'demote' | 'remove'

function Actions({ node, containers, leader }: { node: Node; containers: Container[] | undefined; leader: boolean }) {
  const { t } = useTranslation()
  const may = useMay()
  const navigate = useNavigate()
  const { message } = AntApp.useApp()
  const act = useNodeAction()
  const volumes = useQuery(volumesQuery)
  const [open, setOpen] = useState<Dialog | null>(null)
  const draining = node.spec.availability === 'drain'
  const same = <SameAs cli={commandLine('skerry', 'node', 'inspect', node.name)} api={curl({ path: `/nodes/${encodeURIComponent(node.name)}` })} />
  if (!may('platform.write')) return same
  const close = () => setOpen(null)
  const activate = () =>
    act.mutate(
      { node, action: 'activate' },
      {
        onError: (error) => {
          const problem = asProblem(error)
          message.error(`${problem.message} (${[problem.code, problem.requestId].filter(Boolean).join(' ')})`, 10)
        },
      },
    )
  return (
    <>
      {draining ? (
        <Button type="primary" icon={<CaretRightOutlined />} loading={act.isPending} onClick={activate}>
          {t('nodes.activate')}
        </Button>
      ) : (
        <Button icon={<PauseOutlined />} onClick={() => setOpen('drain')}>
          {t('nodes.drain')}
        </Button>
      )}
      {same}
      <Dropdown
        trigger={['click']}
        menu={{
          items: [
            ...(node.role === 'worker'
              ? []
              : [
                  { key: 'promote', label: t('nodes.promote'), disabled: node.spec.suffrage === 'voter', onClick: () => setOpen('promote') },
                  { key: 'demote', label: leader ? t('nodes.demoteLeader') : t('nodes.demote'), disabled: node.spec.suffrage === 'standby', onClick: () => setOpen('demote') },
                  { type: 'divider' as const },
                ]),
            { key: 'remove', icon: <DeleteOutlined />, danger: true, label: t('nodes.remove'), onClick: () => setOpen('remove') },
          ],
        }}
      >
        <Button icon={<MoreOutlined />} aria-label={t('action.more')} />
      </Dropdown>
      {open === 'drain' && <DrainDialog node={node} containers={containers} onClose={close} />}
      {(open === 'promote' || open === 'demote') && <VoteDialog node={node} action={open} onClose={close} />}
      {open === 'remove' && (
        <RemoveNodeDialog
          node={node}
          containers={containers ?? []}
          volumes={(volumes.data?.items ?? []).filter(({ nodeId }) => nodeId === node.id).map(({ name }) => name)}
          onClose={close}
          onRemoved={() => void navigate('/nodes')}
        />
      )}
    </>
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

function Containers({ containers, problem, retry }: { containers: Container[] | undefined; problem: ReturnType<typeof asProblem> | null; retry: () => void }) {
  const { t } = useTranslation()
  const { language } = usePreferences()
  const scope = useScopeTenant()
  const me = useQuery(sessionQuery).data
  const present = me?.tenants.find(({ id, name }) => id === scope || name === scope)?.id ?? me?.defaultTenant
  const tenantName = (id: string) => me?.tenants.find((tenant) => tenant.id === id)?.name ?? id
  const foreign = containers?.some(({ tenantId }) => tenantId !== present) ?? false
  const columns: TableColumnsType<Container> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, container) => (
        <span className="sk-namecell">
          <StatusBadge status={containerWord(container)} />
          {/* A name is looked up within the tenant that the console looks at. */}
          <Link className="sk-name" to={`/containers/${encodeURIComponent(container.tenantId === present ? container.name : container.id)}`}>
            {container.name}
          </Link>
        </span>
      ),
    },
    ...(foreign ? [{ key: 'tenant', title: t('nav.tenant'), responsive: ['sm' as const], render: (_: unknown, container: Container) => tenantName(container.tenantId) }] : []),
    { key: 'app', title: t('column.app'), render: (_, container) => <Link to={`/apps/${encodeURIComponent(container.appId)}`}>{container.appName}</Link> },
    { key: 'image', title: t('column.image'), responsive: ['md'], render: (_, container) => shortImage(container.spec.image) },
    { key: 'reason', title: t('placement.why'), responsive: ['lg'], render: (_, container) => <span className="sk-muted sk-break">{say(language, '', container.assign.reason ?? '').text || '–'}</span> },
    { key: 'address', title: t('column.address'), responsive: ['md'], render: (_, container) => <span className="sk-number">{container.assign.address ?? '–'}</span> },
  ]
  if (problem) return <ProblemAlert problem={problem} retry={retry} />
  return (
    <Table
      rowKey="id"
      size="middle"
      columns={columns}
      dataSource={containers}
      loading={!containers}
      pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }}
      locale={{ emptyText: containers ? t('nodes.noContainers') : ' ' }}
    />
  )
}
