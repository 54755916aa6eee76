import { DeleteOutlined, MoreOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Dropdown, Tabs, Tag } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate, useParams, useSearchParams } from 'react-router'
import { volumeFiles } from '@/api/files'
import type { Volume } from '@/api/model'
import { asProblem } from '@/api/problem'
import { nodesQuery, nodeStatsQuery } from '@/api/queries'
import { FileBrowser } from '@/shared/files/FileBrowser'
import { usePlace } from '@/shared/files/usePlace'
import { formatBytes } from '@/shared/lib/format'
import { commandLine, curl } from '@/shared/lib/shell'
import { CopyLine } from '@/shared/ui/CopyButton'
import { Meter } from '@/shared/ui/Meter'
import { Facts, Page, PageSkeleton, Section } from '@/shared/ui/Page'
import { PageProblem } from '@/shared/ui/PageProblem'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { Time } from '@/shared/ui/Time'
import { volumeQuery } from './queries'
import { RemoveDialog } from './RemoveDialog'
import { userName, userPath } from './users'

export default function DetailPage() {
  const { t } = useTranslation()
  const { ref = '' } = useParams()
  const volume = useQuery(volumeQuery(ref))
  if (volume.isPending) return <PageSkeleton />
  if (!volume.data) return <PageProblem title={ref} back={<Link to="/volumes">{t('nav.volumes')}</Link>} problem={asProblem(volume.error)} retry={() => void volume.refetch()} />
  return <Detail volume={volume.data} lost={volume.isError ? asProblem(volume.error) : null} />
}

function Detail({ volume, lost }: { volume: Volume; lost: ReturnType<typeof asProblem> | null }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const [search, setSearch] = useSearchParams()
  const [removing, setRemoving] = useState(false)
  const used = volume.status.usedBy.length > 0
  const tab = search.get('tab') === 'files' ? 'files' : 'overview'
  return (
    <Page
      title={volume.name}
      plainTitle={volume.name}
      back={<Link to="/volumes">{t('nav.volumes')}</Link>}
      beside={
        <span className="sk-muted">
          {used ? t('volumes.inUse') : t('volumes.unused')}
          {volume.status.usedBytes !== undefined && ` · ${formatBytes(volume.status.usedBytes)}`}
        </span>
      }
      actions={
        <>
          {tab !== 'files' && (
            <Button type="primary" onClick={() => setSearch({ tab: 'files' })}>
              {t('volumes.browse')}
            </Button>
          )}
          <SameAs cli={commandLine('skerry', 'volume', 'inspect', volume.name)} api={curl({ path: `/volumes/${encodeURIComponent(volume.name)}` })} compose={`services:\n  app:\n    volumes:\n      - ${volume.name}:/data\nvolumes:\n  ${volume.name}: {}\n`} />
          <Dropdown trigger={['click']} menu={{ items: [{ key: 'remove', icon: <DeleteOutlined />, danger: true, label: t('volumes.remove'), onClick: () => setRemoving(true) }] }}>
            <Button icon={<MoreOutlined />} aria-label={t('action.more')} />
          </Dropdown>
        </>
      }
    >
      {lost && <ProblemAlert problem={lost} />}
      <Tabs
        activeKey={tab}
        onChange={(key) => setSearch(key === 'overview' ? {} : { tab: key })}
        destroyOnHidden
        items={[
          { key: 'overview', label: t('app.overview'), children: <Overview volume={volume} /> },
          { key: 'files', label: t('containers.tab.files'), children: <Files volume={volume} /> },
        ]}
      />
      {removing && <RemoveDialog volume={volume} onClose={() => setRemoving(false)} onRemoved={() => void navigate('/volumes')} />}
    </Page>
  )
}

function Overview({ volume }: { volume: Volume }) {
  const { t } = useTranslation()
  const nodes = useQuery(nodesQuery)
  const node = nodes.data?.items.find(({ id }) => id === volume.nodeId)
  const stats = useQuery({ ...nodeStatsQuery(volume.nodeId), refetchInterval: 10_000, enabled: volume.nodeId !== '' })
  const labels = Object.entries(volume.spec.labels ?? {})
  return (
    <>
      <div className="sk-columns">
        <Section title={t('volumes.usage')}>
          {volume.status.usedBytes === undefined ? (
            <p className="sk-muted">{t('volumes.notMeasured')}</p>
          ) : (
            <div className="sk-meters">
              <Meter label={t('volumes.used')} value={volume.status.usedBytes} limit={stats.data?.diskTotalBytes} hideLimit format={formatBytes} />
              {stats.data && <Meter label={t('volumes.disk', { node: node?.name ?? volume.nodeId })} value={stats.data.diskUsedBytes} limit={stats.data.diskTotalBytes} format={formatBytes} />}
            </div>
          )}
        </Section>
        <Section title={t('node.facts')}>
          <Facts
            items={[
              { label: t('column.node'), value: node ? <Link to={`/nodes/${encodeURIComponent(node.name)}`}>{node.name}</Link> : volume.nodeId || '–' },
              { label: t('volumes.driver'), value: volume.spec.driver || 'local' },
              { label: t('column.age'), value: <Time at={volume.createdAt} /> },
              { label: t('node.labels'), value: labels.length > 0 ? labels.map(([name, value]) => <Tag key={name}>{`${name}=${value}`}</Tag>) : '–' },
              { label: t('column.id'), value: <CopyLine text={volume.id} /> },
            ]}
          />
        </Section>
      </div>
      <Section title={t('volumes.usedBy')} flush>
        {volume.status.usedBy.length === 0 ? (
          <p className="sk-muted sk-section-body">{t('volumes.unusedLong')}</p>
        ) : (
          <ul className="sk-problems">
            {volume.status.usedBy.map((user) => {
              const to = userPath(user)
              return (
                <li key={`${user.kind} ${user.id} ${user.name}`}>
                  <span>
                    {to ? <Link to={to}>{userName(user)}</Link> : userName(user)} <span className="sk-muted">{t(`volumes.kind.${user.kind === 'container' ? 'container' : user.kind === 'app' ? 'app' : 'service'}`)}</span>
                  </span>
                </li>
              )
            })}
          </ul>
        )}
      </Section>
    </>
  )
}

function Files({ volume }: { volume: Volume }) {
  const [place, go] = usePlace()
  const store = useMemo(() => volumeFiles(volume.id), [volume.id])
  return (
    <FileBrowser
      store={store}
      place={place}
      onPlace={go}
      to={`/volumes/${encodeURIComponent(volume.name)}?tab=files`}
      same={({ path }) => ({ api: curl({ path: `/volumes/${encodeURIComponent(volume.name)}/files?path=${encodeURIComponent(path)}` }) })}
    />
  )
}
