import { CodeOutlined, FileTextOutlined, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Grid, Input, Select, Skeleton } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useSearchParams } from 'react-router'
import type { Container } from '@/api/model'
import { asProblem } from '@/api/problem'
import { nodesQuery } from '@/api/queries'
import { containerWord } from '@/api/status'
import { shortImage } from '@/shared/lib/image'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Page, Section } from '@/shared/ui/Page'
import { Ports } from '@/shared/ui/Ports'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { VirtualTable, type VirtualColumn } from '@/shared/ui/VirtualTable'
import { BulkBar } from './BulkBar'
import { containerWords, readState, select } from './list'
import { allContainersQuery, portsQuery } from './queries'
import { CpuSpark, MemorySpark } from './Sparks'

export default function ListPage() {
  const { t } = useTranslation()
  const containers = useQuery(allContainersQuery)
  const nodes = useQuery(nodesQuery)
  const ports = useQuery(portsQuery)
  const screens = Grid.useBreakpoint()
  const [search, setSearch] = useSearchParams()
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set())
  const set = (name: string, value: string) =>
    setSearch(
      (old) => {
        if (value) old.set(name, value)
        else old.delete(name)
        return old
      },
      { replace: true },
    )
  const query = search.toString()
  const state = useMemo(() => readState(new URLSearchParams(query)), [query])
  const all = containers.data?.items
  const rows = useMemo(() => select(all ?? [], state), [all, state])
  const chosen = useMemo(() => rows.filter(({ id }) => selected.has(id)), [rows, selected])
  const appNames = useMemo(() => [...new Set((all ?? []).map(({ appName }) => appName))].sort(), [all])
  const nodeNames = useMemo(() => new Map((nodes.data?.items ?? []).map(({ id, name }) => [id, name])), [nodes.data])
  const wide = screens.sm ?? false
  const columns = useMemo(
    (): VirtualColumn<Container>[] => [
      {
        key: 'name',
        title: t('column.name'),
        width: wide ? 'minmax(200px, 2.6fr)' : 'minmax(0, 1fr)',
        sortable: true,
        render: (container) => (
          <span className="sk-ct-name">
            <StatusBadge status={containerWord(container)} quiet={!wide} />
            <Link className="sk-name" to={`/containers/${encodeURIComponent(container.name)}`} title={container.name}>
              {container.name}
            </Link>
          </span>
        ),
      },
      { key: 'image', title: t('column.image'), width: 'minmax(86px, 1.1fr)', from: 'md', sortable: true, render: ({ spec }) => <span title={spec.image}>{shortImage(spec.image)}</span> },
      {
        key: 'service',
        title: t('containers.service'),
        width: 'minmax(86px, 1fr)',
        from: 'lg',
        sortable: true,
        render: (container) => (
          <>
            <Link to={`/apps/${encodeURIComponent(container.appName)}`}>{container.appName}</Link>
            {container.serviceName !== container.appName && <span className="sk-muted"> / {container.serviceName}</span>}
          </>
        ),
      },
      { key: 'node', title: t('column.node'), width: 'minmax(80px, 0.8fr)', from: 'xxl', sortable: true, render: ({ assign }) => (assign.nodeId ? <Link to={`/nodes/${encodeURIComponent(nodeNames.get(assign.nodeId) ?? assign.nodeId)}`}>{nodeNames.get(assign.nodeId) ?? assign.nodeId}</Link> : '–') },
      { key: 'cpu', title: t('measure.cpuShort'), width: '98px', from: 'md', align: 'right', render: (container) => <CpuSpark container={container} /> },
      { key: 'memory', title: t('measure.memory'), width: '118px', from: 'md', align: 'right', render: (container) => <MemorySpark container={container} /> },
      { key: 'ports', title: t('column.ports'), width: '64px', from: 'lg', render: (container) => <Ports ports={ports.data?.get(container.serviceId)} /> },
      { key: 'age', title: t('column.age'), width: '94px', from: 'lg', align: 'right', sortable: true, render: ({ createdAt }) => <Time at={createdAt} /> },
      {
        key: 'actions',
        title: <span className="sk-visually-hidden">{t('column.actions')}</span>,
        width: '60px',
        align: 'right',
        render: ({ name }) => (
          <span className="sk-ct-links">
            <Link to={`/containers/${encodeURIComponent(name)}?tab=logs`} aria-label={t('container.logs', { name })} title={t('app.logs')}>
              <FileTextOutlined />
            </Link>
            <Link to={`/containers/${encodeURIComponent(name)}?tab=terminal`} aria-label={t('containers.terminalOf', { name })} title={t('containers.tab.terminal')}>
              <CodeOutlined />
            </Link>
          </span>
        ),
      },
    ],
    [t, wide, nodeNames, ports.data],
  )
  const deploy = (
    <Link to="/apps/new">
      <Button type="primary" icon={<PlusOutlined />}>
        {t('apps.deploy')}
      </Button>
    </Link>
  )
  const none = all?.length === 0
  return (
    <Page title={t('nav.containers')} plainTitle={t('nav.containers')} beside={all && !none ? <span className="sk-muted sk-number">{t('containers.shown', { count: rows.length, all: all.length })}</span> : undefined}>
      {containers.isError && <ProblemAlert problem={asProblem(containers.error)} retry={() => void containers.refetch()} />}
      {none ? (
        <Section>
          <EmptyState sentence={t('containers.empty')} action={deploy} command="skerry run -n hello -p :80 welcome" />
        </Section>
      ) : (
        <>
          <div className="sk-toolbar">
            <Input.Search allowClear style={{ width: 260 }} placeholder={t('containers.filter')} aria-label={t('containers.filter')} value={state.q} onChange={(event) => set('q', event.target.value)} />
            <Select style={{ width: 150 }} aria-label={t('column.status')} value={state.status} onChange={(value) => set('status', value)} options={[{ value: '', label: t('apps.allStatus') }, ...containerWords.map((word) => ({ value: word, label: t(`status.${word}`) }))]} />
            <Select style={{ width: 180 }} showSearch aria-label={t('column.app')} value={state.app} onChange={(value) => set('app', value)} options={[{ value: '', label: t('containers.anyApp') }, ...appNames.map((name) => ({ value: name, label: name }))]} />
            {nodeNames.size > 1 && <Select style={{ width: 150 }} aria-label={t('column.node')} value={state.node} onChange={(value) => set('node', value)} options={[{ value: '', label: t('containers.anyNode') }, ...[...nodeNames].map(([value, label]) => ({ value, label }))]} />}
          </div>
          {containers.data?.more && <p className="sk-muted">{t('containers.more', { count: all?.length ?? 0 })}</p>}
          <section className="sk-section">
            {chosen.length > 0 && <BulkBar chosen={chosen} all={all ?? []} onDone={() => setSelected(new Set())} />}
            {!all && !containers.isError && <div className="sk-section-body"><Skeleton active title={false} /></div>}
            {all && rows.length === 0 && <p className="sk-muted sk-section-body">{t('containers.noMatch')}</p>}
            {rows.length > 0 && (
              <VirtualTable
                label={t('nav.containers')}
                rows={rows}
                rowKey={({ id }) => id}
                rowName={({ name }) => name}
                columns={columns}
                sort={{ key: state.sort, down: state.down }}
                onSort={({ key, down }) => set('sort', key === 'name' && !down ? '' : `${down ? '-' : ''}${key}`)}
                selected={selected}
                onSelect={setSelected}
              />
            )}
          </section>
        </>
      )}
    </Page>
  )
}
