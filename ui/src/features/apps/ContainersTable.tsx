import { FileTextOutlined, MoreOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Dropdown, Modal, Space, Table, Tooltip, type TableColumnsType } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { Container, ContainerStats, Node } from '@/api/model'
import { asProblem } from '@/api/problem'
import { containerStatsQuery, nodesQuery } from '@/api/queries'
import { containerWord, nodeHealth } from '@/api/status'
import { formatBytes, formatCores } from '@/shared/lib/format'
import { usePreferences } from '@/shared/lib/preferences'
import { say } from '@/shared/lib/sentences'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { useContainerAction, type ContainerAction } from './queries'

/** More containers than this are listed without live figures: each figure is a request every three seconds. */
const measured = 20

/** The containers of an app: state, place, live figures, and what can be done to each. */
export function ContainersTable({ containers, onLogs }: { containers: Container[] | undefined; onLogs: (container: Container) => void }) {
  const { t } = useTranslation()
  const nodes = useQuery(nodesQuery)
  const rows = [...(containers ?? [])].sort((a, b) => a.serviceName.localeCompare(b.serviceName) || a.slot - b.slot || a.name.localeCompare(b.name))
  const live = rows.length <= measured
  const columns: TableColumnsType<Container> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, container) => (
        <span className="sk-namecell">
          <StatusBadge status={containerWord(container)} />
          <Tooltip title={container.id}>
            <Link className="sk-name" to={`/containers/${encodeURIComponent(container.id)}`}>{container.name}</Link>
          </Tooltip>
          <Ending container={container} />
        </span>
      ),
    },
    { key: 'node', title: t('column.node'), responsive: ['md'], render: (_, container) => <OnNode container={container} node={nodes.data?.items.find(({ id }) => id === container.assign.nodeId)} /> },
    { key: 'address', title: t('column.address'), responsive: ['lg'], render: (_, { assign }) => <span className="sk-number">{assign.address ?? '–'}</span> },
    ...(live
      ? [
          { key: 'cpu', title: t('measure.cpuShort'), align: 'right' as const, responsive: ['sm' as const], render: (_: unknown, container: Container) => <Figure container={container} of={cpu} /> },
          { key: 'memory', title: t('measure.memory'), align: 'right' as const, responsive: ['sm' as const], render: (_: unknown, container: Container) => <Figure container={container} of={memory} /> },
        ]
      : []),
    { key: 'restarts', title: t('column.restarts'), align: 'right', responsive: ['lg'], render: (_, { status }) => <span className="sk-number">{Math.max(0, status.task - 1)}</span> },
    { key: 'since', title: t('column.since'), align: 'right', responsive: ['md'], render: (_, { status }) => <span className="sk-nowrap"><Time at={status.phase === 'running' ? status.startedAt : (status.finishedAt ?? status.startedAt)} /></span> },
    { key: 'actions', title: <span className="sk-visually-hidden">{t('column.actions')}</span>, align: 'right', width: 96, render: (_, container) => <RowActions container={container} onLogs={onLogs} /> },
  ]
  return <Table rowKey="id" size="middle" columns={columns} dataSource={rows} loading={!containers} pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }} locale={{ emptyText: containers ? t('app.noContainers') : ' ' }} />
}

/** The node of a replica; why it is there stands in its tooltip, and one that has none waits. */
function OnNode({ container: { assign }, node }: { container: Container; node: Node | undefined }) {
  const { t } = useTranslation()
  const { language } = usePreferences()
  if (!assign.nodeId) return <span className="sk-muted">{t('placement.waitsShort')}</span>
  const down = node !== undefined && nodeHealth(node) === 'down'
  return (
    <span className="sk-on-node">
      <Tooltip title={say(language, '', assign.reason ?? '').text}>
        <Link to={`/nodes/${encodeURIComponent(node?.name ?? assign.nodeId)}`}>{node?.name ?? assign.nodeId}</Link>
      </Tooltip>
      {down && <span className="sk-tone-red"> {t('nodes.health.down')}</span>}
    </span>
  )
}

/** How a container that does not run has ended, and when it is tried again. */
function Ending({ container }: { container: Container }) {
  const { t } = useTranslation()
  const { status } = container
  if (status.phase === 'running' || status.startedAt === undefined) return null
  return (
    <span className="sk-muted">
      {status.oomKilled ? t('container.oom') : status.exitCode !== undefined ? t('container.exit', { code: status.exitCode }) : ''}
      {status.phase === 'backoff' && status.retryAt && (
        <>
          {' · '}
          {t('container.retry')} <Time at={status.retryAt} future />
        </>
      )}
    </span>
  )
}

const cpu = (stats: ContainerStats) => formatCores(stats.cpuPercent / 100)
const memory = (stats: ContainerStats) => (stats.memoryLimitBytes > 0 ? `${formatBytes(stats.memoryBytes)} / ${formatBytes(stats.memoryLimitBytes)}` : formatBytes(stats.memoryBytes))

function Figure({ container, of }: { container: Container; of: (stats: ContainerStats) => string }) {
  const stats = useQuery({ ...containerStatsQuery(container.id), enabled: container.status.phase === 'running' })
  return <span className="sk-number">{stats.data && container.status.phase === 'running' ? of(stats.data) : '–'}</span>
}

function RowActions({ container, onLogs }: { container: Container; onLogs: (container: Container) => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const act = useContainerAction()
  const [killing, setKilling] = useState(false)
  const running = container.status.phase === 'running'
  const run = (action: ContainerAction) =>
    act.mutate(
      { container, action },
      {
        onError: (error) => {
          const problem = asProblem(error)
          message.error(`${problem.message} (${[problem.code, problem.requestId].filter(Boolean).join(' ')})`, 10)
        },
      },
    )
  return (
    <Space size={0}>
      <Button type="text" icon={<FileTextOutlined />} aria-label={t('container.logs', { name: container.name })} title={t('app.logs')} onClick={() => onLogs(container)} />
      <Dropdown
        trigger={['click']}
        menu={{
          items: [
            { key: 'restart', label: t('action.restart'), disabled: !running, onClick: () => run('restart') },
            running ? { key: 'stop', label: t('action.stop'), onClick: () => run('stop') } : { key: 'start', label: t('action.start'), onClick: () => run('start') },
            { key: 'kill', label: t('action.kill'), danger: true, disabled: !running, onClick: () => setKilling(true) },
          ],
        }}
      >
        <Button type="text" icon={<MoreOutlined />} aria-label={t('container.actions', { name: container.name })} loading={act.isPending} />
      </Dropdown>
      <Modal
        open={killing}
        title={t('container.killTitle', { name: container.name })}
        okText={t('action.kill')}
        cancelText={t('action.cancel')}
        okButtonProps={{ danger: true }}
        onCancel={() => setKilling(false)}
        onOk={() => {
          setKilling(false)
          run('kill')
        }}
      >
        {t('container.killConsequence')}
      </Modal>
    </Space>
  )
}
