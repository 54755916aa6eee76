import { CaretRightOutlined, DeleteOutlined, MoreOutlined, PauseOutlined, ReloadOutlined, SaveOutlined, ThunderboltOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Dropdown, Tabs } from 'antd'
import { lazy, Suspense, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate, useParams, useSearchParams } from 'react-router'
import type { Container } from '@/api/model'
import { asProblem } from '@/api/problem'
import { containerWord, containerConditions } from '@/api/status'
import { commandLine, curl } from '@/shared/lib/shell'
import { Conditions } from '@/shared/ui/Conditions'
import { Page, PageSkeleton } from '@/shared/ui/Page'
import { PageProblem } from '@/shared/ui/PageProblem'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { KillDialog } from './BulkBar'
import { CommitDialog } from './CommitDialog'
import { Overview } from './Overview'
import { allContainersQuery, containerQuery, useAction, type Action } from './queries'
import { RemoveDialog } from './RemoveDialog'
import './containers.css'

const ChartsTab = lazy(() => import('./ChartsTab'))
const LogTab = lazy(() => import('./LogTab'))
const TerminalTab = lazy(() => import('./TerminalTab'))
const FilesTab = lazy(() => import('./FilesTab'))
const EnvironmentTab = lazy(() => import('./EnvironmentTab'))
const InspectTab = lazy(() => import('./InspectTab'))

const tabs = ['overview', 'charts', 'logs', 'terminal', 'files', 'environment', 'inspect'] as const

export default function DetailPage() {
  const { t } = useTranslation()
  const { ref = '' } = useParams()
  const container = useQuery(containerQuery(ref))
  if (container.isPending) return <PageSkeleton />
  if (!container.data) return <PageProblem title={ref} back={<Link to="/containers">{t('nav.containers')}</Link>} problem={asProblem(container.error)} retry={() => void container.refetch()} />
  return <Detail key={container.data.id} container={container.data} lost={container.isError ? asProblem(container.error) : null} />
}

function Detail({ container, lost }: { container: Container; lost: ReturnType<typeof asProblem> | null }) {
  const { t } = useTranslation()
  const [search, setSearch] = useSearchParams()
  const tab = tabs.find((each) => each === search.get('tab')) ?? 'overview'
  const word = containerWord(container)
  const { status } = container
  const content = {
    overview: <Overview container={container} />,
    charts: <ChartsTab container={container} />,
    logs: <LogTab container={container} />,
    terminal: <TerminalTab container={container} />,
    files: <FilesTab container={container} />,
    environment: <EnvironmentTab container={container} />,
    inspect: <InspectTab container={container} />,
  }
  return (
    <Page
      title={container.name}
      plainTitle={container.name}
      back={
        <>
          <Link to="/containers">{t('nav.containers')}</Link>
          <span className="sk-muted"> · </span>
          <Link to={`/apps/${encodeURIComponent(container.appName)}`}>{container.appName}</Link>
          {container.serviceName !== container.appName && <span className="sk-muted"> / {container.serviceName}</span>}
        </>
      }
      beside={
        <>
          <StatusBadge status={word} />
          <span className="sk-muted">
            {status.phase === 'running' ? (
              <>
                {t('containers.since')} <Time at={status.startedAt} />
              </>
            ) : (
              <>
                {status.oomKilled ? t('container.oom') : status.exitCode !== undefined && t('container.exit', { code: status.exitCode })}
                {status.finishedAt && (
                  <>
                    {' · '}
                    <Time at={status.finishedAt} />
                  </>
                )}
                {status.phase === 'backoff' && status.retryAt && (
                  <>
                    {' · '}
                    {t('container.retry')} <Time at={status.retryAt} future />
                  </>
                )}
              </>
            )}
          </span>
        </>
      }
      actions={<Actions container={container} />}
    >
      {lost && <ProblemAlert problem={lost} />}
      <Conditions conditions={containerConditions(container)} />
      <Tabs
        activeKey={tab}
        onChange={(key) => setSearch(key === 'overview' ? {} : { tab: key })}
        destroyOnHidden
        items={tabs.map((key) => ({ key, label: t(`containers.tab.${key}`), children: <Suspense fallback={<PageSkeleton />}>{content[key]}</Suspense> }))}
      />
    </Page>
  )
}

function Actions({ container }: { container: Container }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const navigate = useNavigate()
  const all = useQuery(allContainersQuery)
  const action = useAction()
  const [open, setOpen] = useState<'kill' | 'remove' | 'commit' | null>(null)
  const running = container.status.phase === 'running'
  const run = (kind: Action) =>
    action.mutate(
      { container, action: kind },
      {
        onSuccess: () => setOpen(null),
        onError: (error) => {
          const problem = asProblem(error)
          message.error(`${problem.message} (${[problem.code, problem.requestId].filter(Boolean).join(' ')})`, 10)
        },
      },
    )
  const verb = running ? 'restart' : 'start'
  return (
    <>
      {running ? (
        <>
          <Button icon={<ReloadOutlined />} loading={action.isPending && action.variables.action === 'restart'} onClick={() => run('restart')}>
            {t('action.restart')}
          </Button>
          <Button icon={<PauseOutlined />} loading={action.isPending && action.variables.action === 'stop'} onClick={() => run('stop')}>
            {t('action.stop')}
          </Button>
        </>
      ) : (
        <>
          <Button type="primary" icon={<CaretRightOutlined />} disabled={['starting', 'preparing', 'stopping'].includes(container.status.phase)} loading={action.isPending && action.variables.action === 'start'} onClick={() => run('start')}>
            {t('action.start')}
          </Button>
          <Button danger icon={<DeleteOutlined />} onClick={() => setOpen('remove')}>
            {t('action.remove')}
          </Button>
        </>
      )}
      <SameAs
        cli={running ? [commandLine('skerry', 'restart', container.name), commandLine('skerry', 'stop', container.name)].join('\n') : commandLine('skerry', 'start', container.name)}
        api={curl({ method: 'POST', path: `/containers/${encodeURIComponent(container.name)}/${verb}` })}
      />
      <Dropdown
        trigger={['click']}
        menu={{
          items: [
            { key: 'commit', icon: <SaveOutlined />, label: t('commit.action'), onClick: () => setOpen('commit') },
            { type: 'divider' },
            { key: 'kill', icon: <ThunderboltOutlined />, danger: true, disabled: !running, label: t('action.kill'), onClick: () => setOpen('kill') },
            { key: 'remove', icon: <DeleteOutlined />, danger: true, label: t('action.remove'), onClick: () => setOpen('remove') },
          ],
        }}
      >
        <Button icon={<MoreOutlined />} aria-label={t('action.more')} />
      </Dropdown>
      {open === 'kill' && <KillDialog container={container} pending={action.isPending} onClose={() => setOpen(null)} onKill={() => run('kill')} />}
      {open === 'remove' && <RemoveDialog chosen={[container]} all={all.data?.items ?? [container]} onClose={() => setOpen(null)} onRemoved={() => void navigate('/containers')} />}
      {open === 'commit' && <CommitDialog container={container} onClose={() => setOpen(null)} />}
    </>
  )
}
