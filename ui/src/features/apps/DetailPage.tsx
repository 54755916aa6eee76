import { CaretRightOutlined, DeleteOutlined, ExportOutlined, MoreOutlined, PauseOutlined, ReloadOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Dropdown, Tabs } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useParams, useSearchParams } from 'react-router'
import type { App, Container, Service } from '@/api/model'
import { asProblem } from '@/api/problem'
import { appQuery, containersQuery, eventsQuery, servicesQuery } from '@/api/queries'
import { appWord, containerWord, shownCondition } from '@/api/status'
import { Conditions, type ConditionLike } from '@/shared/ui/Conditions'
import { EventList } from '@/shared/ui/EventList'
import { Page, PageSkeleton, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { ContainersTable } from './ContainersTable'
import { LogsTab } from './LogsTab'
import { portAddress } from './Ports'
import { useAppAction, useRestartAll } from './queries'
import { RemoveDialog } from './RemoveDialog'
import { ServicesTable } from './ServicesTable'

export default function DetailPage() {
  const { t } = useTranslation()
  const { ref = '' } = useParams()
  const app = useQuery(appQuery(ref))
  if (app.isPending) return <PageSkeleton />
  if (!app.data) {
    return (
      <Page title={ref} plainTitle={ref} back={<Link to="/apps">{t('nav.apps')}</Link>}>
        <ProblemAlert problem={asProblem(app.error)} retry={() => void app.refetch()} />
      </Page>
    )
  }
  return <Detail app={app.data} lost={app.isError ? asProblem(app.error) : null} />
}

function Detail({ app, lost }: { app: App; lost: ReturnType<typeof asProblem> | null }) {
  const { t } = useTranslation()
  const [search, setSearch] = useSearchParams()
  const services = useQuery(servicesQuery(app.id))
  const containers = useQuery(containersQuery({ app: app.id }))
  const tab = search.get('tab') ?? 'overview'
  const openTab = (key: string, container?: string) => {
    const next = new URLSearchParams()
    if (key !== 'overview') next.set('tab', key)
    if (container) next.set('container', container)
    setSearch(next)
  }
  const conditions = gather(app, services.data?.items ?? [], containers.data?.items ?? [])
  return (
    <Page
      title={app.name}
      plainTitle={app.name}
      back={<Link to="/apps">{t('nav.apps')}</Link>}
      beside={
        <>
          <StatusBadge status={appWord(app)} />
          <span className="sk-muted">
            {t('app.replicas', { running: app.status.running, desired: app.status.desired })} · {t('app.revision', { number: app.revision })} · <Time at={app.createdAt} />
          </span>
        </>
      }
      actions={<Actions app={app} containers={containers.data?.items ?? []} services={services.data?.items ?? []} />}
    >
      {lost && <ProblemAlert problem={lost} />}
      <Conditions conditions={conditions} />
      <Tabs
        activeKey={tab}
        onChange={(key) => openTab(key)}
        destroyOnHidden
        items={[
          {
            key: 'overview',
            label: t('app.overview'),
            children: (
              <>
                <Section title={t('app.services')} flush>
                  {services.isError ? <ProblemAlert problem={asProblem(services.error)} /> : <ServicesTable services={services.data?.items} containers={containers.data?.items ?? []} />}
                </Section>
                <Section title={t('app.containers')} flush>
                  {containers.isError ? (
                    <ProblemAlert problem={asProblem(containers.error)} />
                  ) : (
                    <ContainersTable containers={containers.data?.items} onLogs={(container) => openTab('logs', container.name)} />
                  )}
                </Section>
              </>
            ),
          },
          { key: 'logs', label: t('app.logs'), children: <LogsTab app={app} containers={containers.data?.items ?? []} /> },
          { key: 'events', label: t('nav.events'), children: <EventsTab app={app} /> },
        ]}
      />
    </Page>
  )
}

/** Everything that says why the app is not as asked: its own conditions, its services' and its containers', each sentence once. */
function gather(app: App, services: Service[], containers: Container[]): ConditionLike[] {
  const severity = app.status.phase === 'failed' ? 'error' : 'warning'
  const found = [
    ...(app.status.conditions ?? []).map((condition) => shownCondition(condition, severity)),
    ...services.flatMap((service) => (service.status.conditions ?? []).map((condition) => shownCondition(condition, severity, services.length > 1 ? service.name : undefined))),
    ...containers.flatMap((container) =>
      (container.status.conditions ?? []).map((condition) => shownCondition(condition, containerWord(container) === 'failed' ? 'error' : 'warning', container.name)),
    ),
  ]
  const once = new Map<string, ConditionLike>()
  for (const condition of found) {
    const sentence = condition.sentence.replace(/^[^:]+: /, '')
    if (!once.has(condition.reason + sentence)) once.set(condition.reason + sentence, condition)
  }
  const all = [...once.values()]
  // Fifty containers with the same trouble are one trouble; more kinds than these help nobody to begin.
  return all.slice(0, 5)
}

function Actions({ app, containers, services }: { app: App; containers: Container[]; services: Service[] }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const action = useAppAction()
  const restart = useRestartAll()
  const [removing, setRemoving] = useState(false)
  const stopped = app.status.phase === 'stopped' || app.status.phase === 'completed'
  const open = app.status.ports?.map((port) => portAddress(port, location.hostname)).find((to) => to !== undefined)
  const fail = (error: unknown) => {
    const problem = asProblem(error)
    message.error(`${problem.message} (${[problem.code, problem.requestId].filter(Boolean).join(' ')})`, 10)
  }
  const run = (kind: 'start' | 'stop') => action.mutate({ app, action: kind }, { onError: fail })
  const startStop = stopped ? (
    <Button type="primary" icon={<CaretRightOutlined />} loading={action.isPending} onClick={() => run('start')}>
      {t('action.start')}
    </Button>
  ) : (
    <Button icon={<PauseOutlined />} loading={action.isPending} disabled={app.removing} onClick={() => run('stop')}>
      {t('action.stop')}
    </Button>
  )
  return (
    <>
      {open && !stopped && (
        <Button type="primary" icon={<ExportOutlined />} href={open} target="_blank" rel="noreferrer">
          {t('action.open')}
        </Button>
      )}
      {startStop}
      <SameAs
        cli={stopped ? `skerry app start ${app.name}` : `skerry app stop ${app.name}`}
        api={`curl -X POST ${location.origin}/api/v1/apps/${app.name}/${stopped ? 'start' : 'stop'} \\\n  -H "Authorization: Bearer $SKERRY_TOKEN"`}
        compose={app.spec.source}
      />
      <Dropdown
        trigger={['click']}
        menu={{
          items: [
            {
              key: 'restart',
              icon: <ReloadOutlined />,
              label: t('app.restart', { count: containers.length }),
              disabled: stopped || containers.length === 0 || restart.isPending,
              onClick: () => restart.mutate(containers, { onError: fail, onSuccess: () => message.success(t('app.restarted')) }),
            },
            { type: 'divider' },
            { key: 'remove', icon: <DeleteOutlined />, danger: true, label: t('app.remove'), onClick: () => setRemoving(true) },
          ],
        }}
      >
        <Button icon={<MoreOutlined />} aria-label={t('action.more')} loading={restart.isPending} />
      </Dropdown>
      {removing && <RemoveDialog app={app} containers={containers.length} services={services.length} onClose={() => setRemoving(false)} />}
    </>
  )
}

function EventsTab({ app }: { app: App }) {
  const events = useQuery(eventsQuery({ app: app.id, limit: 100 }))
  return <Section flush>{events.isError ? <ProblemAlert problem={asProblem(events.error)} /> : <EventList events={events.data?.items} />}</Section>
}
