import { CheckCircleFilled, CloudUploadOutlined, ExclamationCircleFilled, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Skeleton } from 'antd'
import { useMemo } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { useExistingLink } from '@/api/existing'
import { objectPath, remedyFor } from '@/api/links'
import type { Status, StatusProblem } from '@/api/model'
import { useMay } from '@/api/may'
import { asProblem } from '@/api/problem'
import { eventsQuery, quorumQuery, sessionQuery, statusQuery } from '@/api/queries'
import { formatBytes, formatPercent } from '@/shared/lib/format'
import { CopyLine } from '@/shared/ui/CopyButton'
import { EventList } from '@/shared/ui/EventList'
import { Meter } from '@/shared/ui/Meter'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { QuorumPanel } from '@/shared/ui/QuorumPanel'
import { Sentence } from '@/shared/ui/Sentence'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'

/** So many problems are told at once; more than these nobody begins with. */
const told = 8

/** Answers "is all well, and if not, why". */
export default function DashboardPage() {
  const { t } = useTranslation()
  const may = useMay()
  const status = useQuery(statusQuery)
  const events = useQuery(eventsQuery({ limit: 12 }))
  const refs = useMemo(() => events.data?.items.map(({ kind, objectId, object, appId }) => ({ kind, id: objectId, name: object, appId })), [events.data])
  const link = useExistingLink(refs)
  const quorum = useQuery({ ...quorumQuery, enabled: may('node.read') })
  const empty = status.data?.counts.apps === 0
  return (
    <Page
      title={t('nav.dashboard')}
      plainTitle={t('nav.dashboard')}
      actions={
        may('app.write') && !empty ? (
          <Link to="/apps/new">
            <Button type="primary" icon={<PlusOutlined />}>
              {t('apps.deploy')}
            </Button>
          </Link>
        ) : undefined
      }
    >
      {status.isError && <ProblemAlert problem={asProblem(status.error)} retry={() => void status.refetch()} />}
      {status.data ? <Well status={status.data} /> : !status.isError && <Skeleton active />}
      {empty && may('app.write') && <QuickStart />}
      {status.data && <Tiles status={status.data} />}
      {quorum.data && <QuorumPanel quorum={quorum.data} brief />}
      <div className="sk-columns">
        {status.data && status.data.nodes.length > 0 && <Nodes status={status.data} />}
        <Section title={t('dashboard.events')} extra={<Link to="/events">{t('action.all')}</Link>} flush>
          {events.isError ? (
            <ProblemAlert problem={asProblem(events.error)} />
          ) : (
            <EventList events={events.data?.items} objectLink={(event) => link({ kind: event.kind, id: event.objectId, name: event.object, appId: event.appId })} />
          )}
        </Section>
      </div>
    </Page>
  )
}

/** The one sentence, and below it each problem with its reason and what helps. */
function Well({ status }: { status: Status }) {
  const { t } = useTranslation()
  const errors = status.problems.filter(({ severity }) => severity === 'error').length
  const tone = status.ok ? 'green' : errors > 0 ? 'red' : 'orange'
  const { containersByPhase, nodes, nodesReady } = status.counts
  const running = containersByPhase.running ?? 0
  return (
    <div className="sk-well" role="status">
      <div className="sk-well-head">
        <span className="sk-well-icon" style={{ color: `var(--sk-${tone})` }}>
          {status.ok ? <CheckCircleFilled /> : <ExclamationCircleFilled />}
        </span>
        <strong>{status.ok ? t('dashboard.well') : t('dashboard.problems', { count: status.problems.length })}</strong>
        <span className="sk-muted">
          {nodes > 0 ? `${t('dashboard2.nodes', { ready: nodesReady, count: nodes })}${t('plan.comma')}` : ''}
          {t('dashboard2.running', { count: running })}
        </span>
      </div>
      {status.problems.length > 0 && (
        <ul className="sk-problems">
          {status.problems.slice(0, told).map((problem) => (
            <ProblemRow key={`${problem.code}-${problem.id}-${problem.message}`} problem={problem} />
          ))}
          {status.problems.length > told && (
            <li>
              <Link to="/events?warnings=true">{t('dashboard2.more', { count: status.problems.length - told })}</Link>
            </li>
          )}
        </ul>
      )}
    </div>
  )
}

function ProblemRow({ problem }: { problem: StatusProblem }) {
  const { t } = useTranslation()
  const ref = { kind: problem.kind ?? '', id: problem.id ?? '', name: problem.name }
  const remedy = remedyFor(problem.code, ref)
  return (
    <li>
      <div>
        <StatusBadge status={problem.severity === 'error' ? 'failed' : 'degraded'} quiet />{' '}
        {/* The name stands before the sentence as its own link, so what the server put there goes. */}
        <Sentence object={problem.name} reason={problem.code} message={problem.message.replace(/^(?:App|Node) "[^"]*": /, '')} to={objectPath(ref)} />
      </div>
      <div className="sk-muted sk-condition-foot">
        <code>{problem.code}</code>
        {problem.since && <Time at={problem.since} />}
        {remedy && <Link to={remedy.to}>{t(`remedy.${remedy.key}`)}</Link>}
      </div>
    </li>
  )
}

/** The three ways to the first app, for a cluster that has none. */
function QuickStart() {
  const { t } = useTranslation()
  const session = useQuery(sessionQuery)
  const me = session.data
  const tenant = me?.tenants.find(({ id }) => id === me.defaultTenant)?.name ?? me?.tenants[0]?.name ?? 'library'
  const host = location.host
  return (
    <Section title={t('quick.title')}>
      <div className="sk-quick">
        <div>
          <h3>{t('quick.deploy')}</h3>
          <p className="sk-muted">{t('quick.deployHelp')}</p>
          <div className="sk-actions">
            <Link to="/apps/new?image=library/welcome:latest">
              <Button type="primary" icon={<PlusOutlined />}>
                {t('quick.deployButton')}
              </Button>
            </Link>
            <Link to="/apps/new?by=compose">
              <Button>{t('quick.composeButton')}</Button>
            </Link>
          </div>
        </div>
        <div>
          <h3>{t('quick.push')}</h3>
          <p className="sk-muted">{t('quick.pushHelp')}</p>
          <div className="sk-quick-lines">
            <CopyLine text={`docker login -u ${me?.name ?? 'admin'} ${host}`} />
            <CopyLine text={`docker tag my-app ${host}/${tenant}/my-app:1`} />
            <CopyLine text={`docker push ${host}/${tenant}/my-app:1`} />
          </div>
          <Link to="/repositories">{t('quick.pushMore')}</Link>
        </div>
        <div>
          <h3>{t('quick.upload')}</h3>
          <p className="sk-muted">{t('quick.uploadHelp')}</p>
          <Link to="/images?do=upload">
            <Button icon={<CloudUploadOutlined />}>{t('quick.uploadButton')}</Button>
          </Link>
        </div>
      </div>
    </Section>
  )
}

function Tiles({ status: { counts } }: { status: Status }) {
  const { t } = useTranslation()
  const running = counts.containersByPhase.running ?? 0
  const failed = (counts.containersByPhase.failed ?? 0) + (counts.containersByPhase.backoff ?? 0)
  return (
    <div className="sk-tiles">
      <Link className="sk-tile" to="/apps">
        <div className="sk-muted">{t('nav.apps')}</div>
        <div className="sk-tile-number">{counts.apps}</div>
        <div className="sk-muted">{t('dashboard.services', { count: counts.services })}</div>
      </Link>
      <Link className="sk-tile" to={failed > 0 ? '/containers?status=failed' : '/containers'}>
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
  )
}

/** So many nodes stand on the dashboard; those with trouble or the most load first. */
const shownNodes = 6

function Nodes({ status }: { status: Status }) {
  const { t } = useTranslation()
  const several = status.nodes.length > 1
  const weight = ({ ready, stats }: Status['nodes'][number]) => (!ready ? 3 : stats ? Math.max(stats.cpuPercent / 100, stats.memoryUsedBytes / stats.memoryTotalBytes, stats.diskUsedBytes / stats.diskTotalBytes) : 2)
  // In steps of a tenth, so that rows do not change places with every measure.
  const shown = several ? [...status.nodes].sort((a, b) => Math.round(weight(b) * 10) - Math.round(weight(a) * 10) || a.name.localeCompare(b.name, undefined, { numeric: true })).slice(0, shownNodes) : status.nodes
  const more = status.nodes.length - shown.length
  return (
    <Section title={t('dashboard.nodes')} extra={<Link to="/nodes">{t('action.all')}</Link>}>
      <div className="sk-meters">
        {shown.map((node) => (
          <div key={node.id} className={several ? 'sk-node-row' : 'sk-meters'}>
            <div className="sk-namecell">
              <StatusBadge status={node.ready ? 'running' : 'failed'} quiet />
              <Link className="sk-name" to={`/nodes/${encodeURIComponent(node.name)}`}>
                {node.name}
              </Link>
            </div>
            {node.stats ? (
              <div className={several ? 'sk-node-three' : 'sk-meters'}>
                <Meter label={several ? t('nodes.cpu') : t('measure.cpu', { count: node.cpus })} value={node.stats.cpuPercent / 100} limit={1} format={formatPercent} hideLimit />
                <Meter label={t('measure.memory')} value={several ? node.stats.memoryUsedBytes / node.stats.memoryTotalBytes : node.stats.memoryUsedBytes} limit={several ? 1 : node.stats.memoryTotalBytes} format={several ? formatPercent : formatBytes} hideLimit={several} />
                <Meter label={t('measure.disk')} value={several ? node.stats.diskUsedBytes / node.stats.diskTotalBytes : node.stats.diskUsedBytes} limit={several ? 1 : node.stats.diskTotalBytes} format={several ? formatPercent : formatBytes} hideLimit={several} />
              </div>
            ) : (
              <p className="sk-muted">{node.ready ? t('measure.none') : t('nodes.health.down')}</p>
            )}
          </div>
        ))}
        {more > 0 && <Link to="/nodes">{t('nodes.more', { count: more })}</Link>}
      </div>
    </Section>
  )
}
