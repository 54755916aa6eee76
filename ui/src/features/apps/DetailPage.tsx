import { CaretRightOutlined, DeleteOutlined, EditOutlined, ExportOutlined, MoreOutlined, PauseOutlined, ReloadOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Dropdown, Tabs } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useParams, useSearchParams } from 'react-router'
import type { App, Container, Service } from '@/api/model'
import { useMay } from '@/api/may'
import { asProblem } from '@/api/problem'
import { appQuery, containersQuery, eventsQuery, servicesQuery } from '@/api/queries'
import { useExistingLink } from '@/api/existing'
import { appWord } from '@/api/status'
import { commandLine, curl } from '@/shared/lib/shell'
import { Conditions } from '@/shared/ui/Conditions'
import { EventList } from '@/shared/ui/EventList'
import { Page, PageSkeleton, Section } from '@/shared/ui/Page'
import { PageProblem } from '@/shared/ui/PageProblem'
import { portAddress } from '@/shared/ui/Ports'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { ContainersTable } from './ContainersTable'
import { composeOf } from './compose'
import { gather } from './conditions'
import { LogsTab } from './LogsTab'
import { useAppAction, useRestartAll } from './queries'
import { RemoveDialog } from './RemoveDialog'
import { RevisionsTab } from './RevisionsTab'
import { ServicesTable } from './ServicesTable'
import { SettingsTab } from './SettingsTab'
import { SourceTab } from './SourceTab'

export default function DetailPage() {
  const { t } = useTranslation()
  const { ref = '' } = useParams()
  const app = useQuery(appQuery(ref))
  if (app.isPending) return <PageSkeleton />
  if (!app.data) return <PageProblem title={ref} back={<Link to="/apps">{t('nav.apps')}</Link>} problem={asProblem(app.error)} retry={() => void app.refetch()} />
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
          { key: 'logs', label: t('app.logs'), children: <LogsTab of={{ path: `/apps/${encodeURIComponent(app.id)}/logs`, name: app.name }} containers={containers.data?.items ?? []} /> },
          { key: 'events', label: t('nav.events'), children: <EventsTab app={app} /> },
          { key: 'revisions', label: t('revision.tab'), children: <RevisionsTab app={app} /> },
          { key: 'source', label: t('source.tab'), children: <SourceTab app={app} /> },
          { key: 'settings', label: t('nav.settings'), children: <SettingsTab app={app} services={services.data?.items ?? []} containers={containers.data?.items ?? []} /> },
        ]}
      />
    </Page>
  )
}

function Actions({ app, containers, services }: { app: App; containers: Container[]; services: Service[] }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const may = useMay()
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
      {may('app.write') && startStop}
      <SameAs
        cli={commandLine('skerry', 'app', stopped ? 'start' : 'stop', app.name)}
        api={curl({ method: 'POST', path: `/apps/${encodeURIComponent(app.name)}/${stopped ? 'start' : 'stop'}` })}
        compose={app.spec.source || composeOf(app.name, app.spec.services)}
      />
      {may('app.write') && <Dropdown
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
            { key: 'edit', icon: <EditOutlined />, label: <Link to={`/apps/${encodeURIComponent(app.name)}/edit`}>{t('deploy2.editShort')}</Link>, disabled: app.removing },
            { type: 'divider' },
            { key: 'remove', icon: <DeleteOutlined />, danger: true, label: t('app.remove'), onClick: () => setRemoving(true) },
          ],
        }}
      >
        <Button icon={<MoreOutlined />} aria-label={t('action.more')} loading={restart.isPending} />
      </Dropdown>}
      {removing && <RemoveDialog app={app} containers={containers.length} services={services.length} onClose={() => setRemoving(false)} />}
    </>
  )
}

function EventsTab({ app }: { app: App }) {
  const events = useQuery(eventsQuery({ app: app.id, limit: 100 }))
  const refs = events.data?.items.map(({ kind, objectId, object, appId }) => ({ kind, id: objectId, name: object, appId }))
  const link = useExistingLink(refs)
  return (
    <Section flush>
      {events.isError ? (
        <ProblemAlert problem={asProblem(events.error)} />
      ) : (
        // What leads to the page that one is on leads nowhere.
        <EventList events={events.data?.items} objectLink={(event) => (event.kind === 'app' ? undefined : link({ kind: event.kind, id: event.objectId, name: event.object }))} />
      )}
    </Section>
  )
}
