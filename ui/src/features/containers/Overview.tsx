import { useQuery } from '@tanstack/react-query'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { Container } from '@/api/model'
import { asProblem } from '@/api/problem'
import { containerStatsQuery, eventsQuery, nodesQuery } from '@/api/queries'
import { formatBytes, formatCores } from '@/shared/lib/format'
import { shortDigest, shortImage } from '@/shared/lib/image'
import { usePreferences } from '@/shared/lib/preferences'
import { say } from '@/shared/lib/sentences'
import { commandLine } from '@/shared/lib/shell'
import { CopyLine } from '@/shared/ui/CopyButton'
import { EventList } from '@/shared/ui/EventList'
import { Meter } from '@/shared/ui/Meter'
import { Facts, Section } from '@/shared/ui/Page'
import { Ports } from '@/shared/ui/Ports'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Time } from '@/shared/ui/Time'
import { portsQuery } from './queries'

export function Overview({ container }: { container: Container }) {
  const { t } = useTranslation()
  const { language } = usePreferences()
  const nodes = useQuery(nodesQuery)
  const ports = useQuery(portsQuery)
  const events = useQuery(eventsQuery({ object: container.id, limit: 20 }))
  const { spec, status, assign } = container
  const node = nodes.data?.items.find(({ id }) => id === assign.nodeId)?.name ?? assign.nodeId
  const labels = Object.entries(spec.labels ?? {})
  const mounts = spec.mounts ?? []
  return (
    <>
      <div className="sk-columns">
        <Section title={t('containers.use')}>
          <Use container={container} />
        </Section>
        <Section title={t('containers.place')}>
          <Facts
            items={[
              { label: t('column.image'), value: <Link to={`/images?q=${encodeURIComponent(shortImage(spec.image))}`} title={spec.image}>{shortImage(spec.image)}{spec.imageDigest && <span className="sk-muted"> {shortDigest(spec.imageDigest)}</span>}</Link> },
              { label: t('column.node'), value: node ? <Link to={`/nodes/${encodeURIComponent(node)}`}>{node}</Link> : '–' },
              ...(assign.reason ? [{ label: assign.nodeId ? t('placement.why') : t('placement.waits'), value: say(language, '', assign.reason).text }] : []),
              { label: t('column.address'), value: assign.address ? <CopyLine text={assign.address} /> : '–' },
              { label: t('column.ports'), value: <Ports ports={ports.data?.get(container.serviceId)} /> },
              { label: t('containers.started'), value: <Time at={status.startedAt} /> },
              { label: t('column.restarts'), value: status.restarts },
              { label: t('column.age'), value: <Time at={container.createdAt} /> },
              { label: t('containers.revision'), value: container.revision },
              { label: t('column.id'), value: <CopyLine text={container.id} /> },
            ]}
          />
        </Section>
      </div>
      <Section title={t('containers.settings')}>
        <Facts
          items={[
            { label: t('deploy.command'), value: spec.command?.length ? <code>{commandLine(...spec.command)}</code> : <span className="sk-muted">{t('deploy.fromImage')}</span> },
            { label: t('containers.entrypoint'), value: spec.entrypoint?.length ? <code>{commandLine(...spec.entrypoint)}</code> : <span className="sk-muted">{t('deploy.fromImage')}</span> },
            { label: t('deploy.user'), value: spec.user || <span className="sk-muted">{t('deploy.fromImage')}</span> },
            { label: t('containers.workdir'), value: spec.workingDir ? <code>{spec.workingDir}</code> : <span className="sk-muted">{t('deploy.fromImage')}</span> },
            { label: t('deploy.restart'), value: t(`containers.policy.${spec.restart ?? 'always'}`) },
            { label: t('containers.grace'), value: t('containers.seconds', { count: spec.stopGraceSeconds || 10 }) },
            ...(spec.privileged ? [{ label: t('containers.privileged'), value: t('containers.yes') }] : []),
            ...(spec.readOnly ? [{ label: t('containers.readOnly'), value: t('containers.yes') }] : []),
            ...(spec.capAdd?.length ? [{ label: t('containers.capAdd'), value: spec.capAdd.join(', ') }] : []),
            ...(spec.capDrop?.length ? [{ label: t('containers.capDrop'), value: spec.capDrop.join(', ') }] : []),
          ]}
        />
      </Section>
      {mounts.length > 0 && (
        <Section title={t('containers.mounts')} flush>
          <table className="sk-env">
            <thead>
              <tr>
                <th>{t('deploy.volumePath')}</th>
                <th>{t('containers.source')}</th>
                <th>{t('containers.access')}</th>
              </tr>
            </thead>
            <tbody>
              {mounts.map((mount) => (
                <tr key={mount.path}>
                  <td>{mount.path}</td>
                  <td>{mount.type === 'volume' && mount.source ? <Link to={`/volumes/${encodeURIComponent(mount.source)}`}>{mount.source}</Link> : mount.type === 'tmpfs' ? t('containers.tmpfs') : mount.source}</td>
                  <td>{mount.readOnly ? t('containers.readOnly') : t('containers.readWrite')}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Section>
      )}
      {labels.length > 0 && (
        <Section title={t('node.labels')} flush>
          <table className="sk-env">
            <tbody>
              {labels.map(([name, value]) => (
                <tr key={name}>
                  <td>{name}</td>
                  <td style={{ whiteSpace: 'pre-wrap', color: 'inherit' }}>{value}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Section>
      )}
      <Section title={t('nav.events')} flush>
        {events.isError ? <ProblemAlert problem={asProblem(events.error)} /> : <EventList events={events.data?.items} />}
      </Section>
    </>
  )
}

function Use({ container }: { container: Container }) {
  const { t } = useTranslation()
  const running = container.status.phase === 'running'
  const stats = useQuery({ ...containerStatsQuery(container.id), enabled: running })
  const { spec } = container
  if (!running) return <p className="sk-muted">{t('containers.notRunning')}</p>
  if (stats.isError && !stats.data) return <ProblemAlert problem={asProblem(stats.error)} />
  if (!stats.data) return <p className="sk-muted">{t('measure.none')}</p>
  const now = stats.data
  const cores = (value: number) => t('measure.cores', { count: value, shown: formatCores(value) })
  return (
    <div className="sk-meters">
      <Meter label={t('charts.cpu')} value={now.cpuPercent / 100} limit={spec.cpuMillis ? spec.cpuMillis / 1000 : undefined} format={cores} />
      <Meter label={t('measure.memory')} value={now.memoryBytes} limit={now.memoryLimitBytes || undefined} format={formatBytes} />
      <Meter label={t('containers.pids')} value={now.pids} limit={now.pidsLimit || undefined} format={String} />
      <Facts
        items={[
          { label: t('node.network'), value: `${formatBytes(now.networkRxBytes)} / ${formatBytes(now.networkTxBytes)}` },
          { label: t('containers.io'), value: `${formatBytes(now.blockReadBytes)} / ${formatBytes(now.blockWriteBytes)}` },
          ...(now.layerBytes !== undefined ? [{ label: t('containers.layer'), value: formatBytes(now.layerBytes) }] : []),
        ]}
      />
    </div>
  )
}
