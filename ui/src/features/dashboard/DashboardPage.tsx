import { CheckCircleFilled, ExclamationCircleFilled, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Skeleton } from 'antd'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { Status, StatusProblem } from '@/api/model'
import { asProblem } from '@/api/problem'
import { eventsQuery, statusQuery } from '@/api/queries'
import { formatBytes, formatPercent } from '@/shared/lib/format'
import { EventList } from '@/shared/ui/EventList'
import { Meter } from '@/shared/ui/Meter'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Sentence } from '@/shared/ui/Sentence'
import { Time } from '@/shared/ui/Time'
import { StatusBadge } from '@/shared/ui/StatusBadge'

export default function DashboardPage() {
  const { t } = useTranslation()
  const status = useQuery(statusQuery)
  const events = useQuery(eventsQuery({ limit: 12 }))
  return (
    <Page
      title={t('nav.dashboard')}
      plainTitle={t('nav.dashboard')}
      actions={
        <Link to="/apps/new">
          <Button type="primary" icon={<PlusOutlined />}>
            {t('apps.deploy')}
          </Button>
        </Link>
      }
    >
      {status.isError && <ProblemAlert problem={asProblem(status.error)} retry={() => void status.refetch()} />}
      {status.data ? <Overview status={status.data} /> : !status.isError && <Skeleton active />}
      <div className="sk-columns">
        {status.data && status.data.nodes.length > 0 && <Nodes status={status.data} />}
        <Section title={t('dashboard.events')} extra={<Link to="/events">{t('action.all')}</Link>} flush>
          {events.isError ? <ProblemAlert problem={asProblem(events.error)} /> : <EventList events={events.data?.items} objectLink={objectLink} />}
        </Section>
      </div>
    </Page>
  )
}

function objectLink(kind: string, id: string): string | undefined {
  if (kind === 'app') return `/apps/${encodeURIComponent(id)}`
  if (kind === 'node') return `/nodes/${encodeURIComponent(id)}`
  return undefined
}

function Overview({ status }: { status: Status }) {
  const { t } = useTranslation()
  const { counts } = status
  const running = counts.containersByPhase.running ?? 0
  const failed = (counts.containersByPhase.failed ?? 0) + (counts.containersByPhase.backoff ?? 0)
  const tone = status.ok ? 'green' : status.problems.some((problem) => problem.severity === 'error') ? 'red' : 'orange'
  return (
    <>
      <div className="sk-well" role="status">
        <div className="sk-well-head">
        <span className="sk-well-icon" style={{ color: `var(--sk-${tone})` }}>
          {status.ok ? <CheckCircleFilled /> : <ExclamationCircleFilled />}
        </span>
        <strong>{status.ok ? t('dashboard.well') : t('dashboard.problems', { count: status.problems.length })}</strong>
        {!status.ok && status.problems.length === 0 && <span className="sk-muted">{status.summary}</span>}
        </div>
        {status.problems.length > 0 && (
          <ul className="sk-problems">
            {status.problems.map((problem) => (
              <ProblemRow key={`${problem.code}-${problem.id}-${problem.message}`} problem={problem} />
            ))}
          </ul>
        )}
      </div>
      <div className="sk-tiles">
        <Link className="sk-tile" to="/apps">
          <div className="sk-muted">{t('nav.apps')}</div>
          <div className="sk-tile-number">{counts.apps}</div>
          <div className="sk-muted">{t('dashboard.services', { count: counts.services })}</div>
        </Link>
        <Link className="sk-tile" to="/apps">
          <div className="sk-muted">{t('dashboard.containers')}</div>
          <div className="sk-tile-number">
            {running}
            <small> / {counts.containers}</small>
          </div>
          {failed > 0 ? <StatusBadge status="failed" count={failed} /> : <div className="sk-muted">{t('dashboard.runningOfAll')}</div>}
        </Link>
        <Link className="sk-tile" to="/images">
          <div className="sk-muted">{t('nav.images')}</div>
          <div className="sk-tile-number">{counts.images}</div>
          <div className="sk-muted">{t('dashboard.volumes', { count: counts.volumes })}</div>
        </Link>
        <Link className="sk-tile" to="/nodes">
          <div className="sk-muted">{t('nav.nodes')}</div>
          <div className="sk-tile-number">
            {counts.nodesReady}
            <small> / {counts.nodes}</small>
          </div>
          <div className="sk-muted">{t('dashboard.readyOfAll')}</div>
        </Link>
      </div>
    </>
  )
}

function ProblemRow({ problem }: { problem: StatusProblem }) {
  const to = problem.id && problem.kind ? objectLink(problem.kind, problem.id) : undefined
  return (
    <li>
      <div>
        <StatusBadge status={problem.severity === 'error' ? 'failed' : 'degraded'} quiet />{' '}
        <Sentence object={problem.name} message={problem.message} to={to} />
      </div>
      <div className="sk-muted sk-condition-foot">
        <code>{problem.code}</code>
        {problem.since && <Time at={problem.since} />}
      </div>
    </li>
  )
}

function Nodes({ status }: { status: Status }) {
  const { t } = useTranslation()
  return (
    <Section title={t('dashboard.nodes')} extra={<Link to="/nodes">{t('action.all')}</Link>}>
      <div className="sk-meters">
        {status.nodes.map((node) => (
          <div key={node.id} className="sk-meters">
            <div className="sk-namecell">
              <StatusBadge status={node.ready ? 'running' : 'failed'} quiet />
              <Link className="sk-name" to={`/nodes/${encodeURIComponent(node.name)}`}>
                {node.name}
              </Link>
            </div>
            {node.stats ? (
              <>
                <Meter label={t('measure.cpu', { count: node.cpus })} value={node.stats.cpuPercent / 100} limit={1} format={formatPercent} hideLimit />
                <Meter label={t('measure.memory')} value={node.stats.memoryUsedBytes} limit={node.stats.memoryTotalBytes} format={formatBytes} />
                <Meter label={t('measure.disk')} value={node.stats.diskUsedBytes} limit={node.stats.diskTotalBytes} format={formatBytes} />
              </>
            ) : (
              <p className="sk-muted">{t('measure.none')}</p>
            )}
          </div>
        ))}
      </div>
    </Section>
  )
}
