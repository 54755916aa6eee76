import { PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Input, Select, Table, type TableColumnsType } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate, useSearchParams } from 'react-router'
import type { Volume } from '@/api/model'
import { asProblem } from '@/api/problem'
import { nodesQuery, volumesQuery } from '@/api/queries'
import { formatBytes } from '@/shared/lib/format'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Time } from '@/shared/ui/Time'
import { CreateDialog } from './CreateDialog'
import { Users } from './users'

export default function ListPage() {
  const { t } = useTranslation()
  const navigate = useNavigate()
  // Data grows without an event.
  const volumes = useQuery({ ...volumesQuery, refetchInterval: 15_000 })
  const nodes = useQuery(nodesQuery)
  const [search, setSearch] = useSearchParams()
  const [creating, setCreating] = useState(search.has('new'))
  const wanted = (search.get('q') ?? '').toLowerCase()
  const use = search.get('use') ?? ''
  const sort = search.get('sort') ?? ''
  const set = (name: string, value: string) =>
    setSearch(
      (old) => {
        if (value) old.set(name, value)
        else old.delete(name)
        return old
      },
      { replace: true },
    )
  const rows = useMemo(() => {
    const by = sort.replace(/^-/, '')
    const order = (a: Volume, b: Volume) => (by === 'size' ? (a.status.usedBytes ?? -1) - (b.status.usedBytes ?? -1) : by === 'age' ? a.createdAt.localeCompare(b.createdAt) : 0) * (sort.startsWith('-') ? -1 : 1)
    return (volumes.data?.items ?? [])
      .filter((volume) => (!wanted || volume.name.toLowerCase().includes(wanted)) && (!use || (volume.status.usedBy.length > 0) === (use === 'used')))
      .sort((a, b) => order(a, b) || a.name.localeCompare(b.name))
  }, [volumes.data, wanted, use, sort])
  const nodeName = (id: string) => nodes.data?.items.find((node) => node.id === id)?.name ?? id
  const direction = (key: string) => (sort === key ? ('ascend' as const) : sort === `-${key}` ? ('descend' as const) : null)
  const columns: TableColumnsType<Volume> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, volume) => (
        <Link className="sk-name" to={`/volumes/${encodeURIComponent(volume.name)}`}>
          {volume.name}
        </Link>
      ),
    },
    { key: 'size', title: t('volumes.used'), align: 'right', sorter: true, sortOrder: direction('size'), render: (_, { status }) => <span className="sk-number">{status.usedBytes === undefined ? '–' : formatBytes(status.usedBytes)}</span> },
    { key: 'users', title: t('volumes.usedBy'), render: (_, { status }) => <Users users={status.usedBy} /> },
    { key: 'node', title: t('column.node'), responsive: ['md'], render: (_, { nodeId }) => (nodeId === '' ? '–' : <Link to={`/nodes/${encodeURIComponent(nodeName(nodeId))}`}>{nodeName(nodeId)}</Link>) },
    { key: 'age', title: t('column.age'), align: 'right', responsive: ['sm'], sorter: true, sortOrder: direction('age'), render: (_, { createdAt }) => <span className="sk-nowrap"><Time at={createdAt} /></span> },
  ]
  const none = volumes.data?.items.length === 0
  const create = (
    <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating(true)}>
      {t('volumes.create')}
    </Button>
  )
  return (
    <Page title={t('nav.volumes')} plainTitle={t('nav.volumes')} actions={none ? undefined : create}>
      {volumes.isError && <ProblemAlert problem={asProblem(volumes.error)} retry={() => void volumes.refetch()} />}
      {none ? (
        <Section>
          <EmptyState sentence={t('volumes.empty')} action={create} command="skerry volume create data" />
        </Section>
      ) : (
        <>
          <div className="sk-toolbar">
            <Input.Search allowClear style={{ width: 260 }} placeholder={t('volumes.filter')} aria-label={t('volumes.filter')} value={search.get('q') ?? ''} onChange={(event) => set('q', event.target.value)} />
            <Select
              style={{ width: 160 }}
              aria-label={t('volumes.usedBy')}
              value={use}
              onChange={(value) => set('use', value)}
              options={[{ value: '', label: t('volumes.any') }, { value: 'used', label: t('volumes.inUse') }, { value: 'unused', label: t('volumes.unused') }]}
            />
          </div>
          <Section flush>
            <Table
              rowKey="id"
              size="middle"
              columns={columns}
              dataSource={rows}
              loading={volumes.isPending}
              pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }}
              showSorterTooltip={false}
              onChange={(_, __, sorter) => {
                const one = Array.isArray(sorter) ? sorter[0] : sorter
                set('sort', one?.order ? `${one.order === 'descend' ? '-' : ''}${String(one.columnKey)}` : '')
              }}
              locale={{ emptyText: volumes.isPending ? ' ' : t('volumes.noMatch') }}
            />
          </Section>
        </>
      )}
      {creating && <CreateDialog taken={(volumes.data?.items ?? []).map(({ name }) => name)} nodes={nodes.data?.items ?? []} onClose={() => setCreating(false)} onCreated={(name) => void navigate(`/volumes/${encodeURIComponent(name)}`)} />}
    </Page>
  )
}
