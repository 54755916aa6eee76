import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Dropdown, Tabs } from 'antd'
import { lazy, Suspense, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useParams, useSearchParams } from 'react-router'
import type { Service } from '@/api/model'
import { useExistingLink } from '@/api/existing'
import { useMay } from '@/api/may'
import { useMetrics } from '@/api/metrics'
import { asProblem } from '@/api/problem'
import { containersQuery, eventsQuery, serviceQuery } from '@/api/queries'
import { serviceWord } from '@/api/status'
import type { MetricsRange } from '@/shared/charts/metrics'
import { commandLine, curl } from '@/shared/lib/shell'
import { Conditions } from '@/shared/ui/Conditions'
import { CopyLine } from '@/shared/ui/CopyButton'
import { EventList } from '@/shared/ui/EventList'
import { CaretRightOutlined, EditOutlined, MoreOutlined, PauseOutlined, ReloadOutlined } from '@/shared/ui/icons'
import { Facts, Page, PageSkeleton, Section } from '@/shared/ui/Page'
import { PageProblem } from '@/shared/ui/PageProblem'
import { Ports } from '@/shared/ui/Ports'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { composeOf } from './compose'
import { gather } from './conditions'
import { ContainersTable } from './ContainersTable'
import { LogsTab } from './LogsTab'
import { PlacementSection } from './PlacementSection'
import { Replicas } from './Replicas'
import { useRestartAll, useServiceAction } from './queries'
import { Limits } from './ServicesTable'
import { UpdateDialog } from './UpdateDialog'

const Charts = lazy(async () => ({ default: (await import('@/shared/charts/MetricCharts')).ServiceCharts }))

export default function ServicePage() {
  const { t } = useTranslation()
  const { ref = '' } = useParams()
  const service = useQuery(serviceQuery(ref))
  if (service.isPending) return <PageSkeleton />
  if (!service.data) return <PageProblem title={ref} back={<Link to="/services">{t('nav.services')}</Link>} problem={asProblem(service.error)} retry={() => void service.refetch()} />
  return <Detail service={service.data} lost={service.isError ? asProblem(service.error) : null} />
}

function Detail({ service, lost }: { service: Service; lost: ReturnType<typeof asProblem> | null }) {
  const { t } = useTranslation()
  const [search, setSearch] = useSearchParams()
  const ofApp = useQuery(containersQuery({ app: service.appId }))
  const containers = ofApp.data?.items.filter(({ serviceId }) => serviceId === service.id)
  const known = containers ?? []
  const openTab = (key: string, container?: string) => {
    const next = new URLSearchParams()
    if (key !== 'overview') next.set('tab', key)
    if (container) next.set('container', container)
    setSearch(next)
  }
  const { container } = service.spec
  return (
    <Page
      title={service.name}
      plainTitle={`${service.name} · ${service.appName}`}
      back={
        <>
          <Link to="/services">{t('nav.services')}</Link> / <Link to={`/apps/${encodeURIComponent(service.appName)}`}>{service.appName}</Link>
        </>
      }
      beside={
        <>
          <StatusBadge status={serviceWord(service, known)} />
          <span className="sk-muted">
            {t('app.replicas', { running: service.status.running, desired: service.spec.replicas })} · {t('app.revision', { number: service.revision })} · <Time at={service.createdAt} />
          </span>
        </>
      }
      actions={<Actions service={service} containers={known} />}
    >
      {lost && <ProblemAlert problem={lost} />}
      <Conditions conditions={gather(null, [service], known)} />
      <Tabs
        activeKey={search.get('tab') ?? 'overview'}
        onChange={(key) => openTab(key)}
        destroyOnHidden
        items={[
          {
            key: 'overview',
            label: t('app.overview'),
            children: (
              <>
                <Section title={t('service.runs')}>
                  <Facts
                    items={[
                      { label: t('column.image'), value: <span className="sk-break">{container.image}</span> },
                      { label: t('column.digest'), value: container.imageDigest ? <CopyLine text={container.imageDigest.slice(0, 19)} /> : '–' },
                      { label: t('column.replicas'), value: <Replicas service={service} /> },
                      { label: t('column.limits'), value: <Limits service={service} /> },
                      { label: t('column.ports'), value: <Ports ports={service.ports} /> },
                      { label: t('deploy.restart'), value: t(`service.restart.${container.restart === 'on-failure' ? 'onFailure' : (container.restart ?? 'no')}`) },
                      { label: t('deploy.command'), value: container.command ? <code>{container.command.join(' ')}</code> : t('deploy.fromImage') },
                      { label: t('deploy.user'), value: container.user || t('deploy.fromImage') },
                      { label: t('service.address'), value: <CopyLine text={`${service.name}.${service.appName}`} /> },
                    ]}
                  />
                </Section>
                <PlacementSection name={service.name} spec={service.spec} />
                <Section title={t('app.containers')} flush>
                  {ofApp.isError ? <ProblemAlert problem={asProblem(ofApp.error)} /> : <ContainersTable containers={containers} onLogs={(each) => openTab('logs', each.name)} />}
                </Section>
                {((container.env?.length ?? 0) > 0 || (container.mounts?.length ?? 0) > 0) && (
                  <div className="sk-columns">
                    {(container.env?.length ?? 0) > 0 && (
                      <Section title={t('deploy.env')}>
                        <dl className="sk-pairlist">
                          {container.env?.map(({ name, value }) => (
                            <div key={name}>
                              <dt>
                                <code>{name}</code>
                              </dt>
                              <dd>
                                <code>{value}</code>
                              </dd>
                            </div>
                          ))}
                        </dl>
                      </Section>
                    )}
                    {(container.mounts?.length ?? 0) > 0 && (
                      <Section title={t('service.mounts')}>
                        <dl className="sk-pairlist">
                          {container.mounts?.map(({ type, source, path, readOnly }) => (
                            <div key={path}>
                              <dt>
                                <code>{path}</code>
                              </dt>
                              <dd>
                                {source || type} {readOnly && <span className="sk-muted">{t('service.readOnly')}</span>}
                              </dd>
                            </div>
                          ))}
                        </dl>
                      </Section>
                    )}
                  </div>
                )}
              </>
            ),
          },
          { key: 'charts', label: t('service.charts'), children: <ChartsTab service={service} /> },
          { key: 'logs', label: t('app.logs'), children: <LogsTab of={{ path: `/services/${encodeURIComponent(service.id)}/logs`, name: `${service.appName}.${service.name}` }} containers={known} /> },
          { key: 'events', label: t('nav.events'), children: <EventsTab service={service} /> },
        ]}
      />
    </Page>
  )
}

function Actions({ service, containers }: { service: Service; containers: Parameters<ReturnType<typeof useRestartAll>['mutate']>[0] }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const may = useMay()
  const action = useServiceAction()
  const restart = useRestartAll()
  const [updating, setUpdating] = useState(false)
  const fail = (error: unknown) => {
    const problem = asProblem(error)
    message.error(`${problem.message} (${[problem.code, problem.requestId].filter(Boolean).join(' ')})`, 10)
  }
  const ref = `${service.appName}.${service.name}`
  const same = (
    <SameAs
      cli={commandLine('skerry', 'service', 'scale', `${ref}=${service.spec.replicas}`)}
      api={curl({ method: 'PATCH', path: `/services/${encodeURIComponent(ref)}`, json: { replicas: service.spec.replicas } })}
      compose={composeOf('', { [service.name]: service.spec })}
    />
  )
  if (!may('app.write')) return same
  return (
    <>
      <Button icon={<EditOutlined />} onClick={() => setUpdating(true)} disabled={service.removing}>
        {t('service.update')}
      </Button>
      {service.stopped ? (
        <Button type="primary" icon={<CaretRightOutlined />} loading={action.isPending} onClick={() => action.mutate({ service, action: 'start' }, { onError: fail })}>
          {t('action.start')}
        </Button>
      ) : (
        <Button icon={<PauseOutlined />} loading={action.isPending} disabled={service.removing} onClick={() => action.mutate({ service, action: 'stop' }, { onError: fail })}>
          {t('action.stop')}
        </Button>
      )}
      {same}
      <Dropdown
        trigger={['click']}
        menu={{
          items: [
            {
              key: 'restart',
              icon: <ReloadOutlined />,
              label: t('app.restart', { count: containers.length }),
              disabled: service.stopped || containers.length === 0 || restart.isPending,
              onClick: () => restart.mutate(containers, { onError: fail, onSuccess: () => message.success(t('app.restarted')) }),
            },
            { key: 'edit', icon: <EditOutlined />, label: <Link to={`/apps/${encodeURIComponent(service.appName)}/edit?by=form`}>{t('service.editApp')}</Link> },
          ],
        }}
      >
        <Button icon={<MoreOutlined />} aria-label={t('action.more')} loading={restart.isPending} />
      </Dropdown>
      {updating && <UpdateDialog service={service} onClose={() => setUpdating(false)} />}
    </>
  )
}

function ChartsTab({ service }: { service: Service }) {
  const [range, setRange] = useState<MetricsRange>('15m')
  const metrics = useMetrics('services', service.id, range)
  return (
    <Suspense fallback={<PageSkeleton />}>
      <Charts metrics={metrics.data} range={range} onRange={setRange} problem={metrics.isError ? asProblem(metrics.error) : null} retry={() => void metrics.refetch()} />
    </Suspense>
  )
}

function EventsTab({ service }: { service: Service }) {
  const events = useQuery(eventsQuery({ app: service.appId, limit: 200 }))
  const items = events.data?.items.filter((event) => event.objectId === service.id || (event.kind === 'container' && event.object.startsWith(`${service.appName}-${service.name}-`)) || (event.kind === 'container' && service.appName === service.name))
  const link = useExistingLink(items?.map(({ kind, objectId, object }) => ({ kind, id: objectId, name: object })))
  return (
    <Section flush>
      {events.isError ? (
        <ProblemAlert problem={asProblem(events.error)} />
      ) : (
        <EventList events={items} objectLink={(event) => (event.objectId === service.id ? undefined : link({ kind: event.kind, id: event.objectId, name: event.object }))} />
      )}
    </Section>
  )
}
