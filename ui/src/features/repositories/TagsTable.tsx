import { DeleteOutlined, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Input, Space, Table, Tag as Label, type TableColumnsType } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useSearchParams } from 'react-router'
import { useMay } from '@/api/may'
import type { Repository, Tag } from '@/api/model'
import { asProblem } from '@/api/problem'
import { registryQuery } from '@/api/registry'
import { formatBytes } from '@/shared/lib/format'
import { artifactKind } from '@/shared/lib/layers'
import { Digest } from '@/shared/ui/Digest'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Time } from '@/shared/ui/Time'
import { imagePath } from './paths'
import { tagsQuery } from './queries'
import { RemoveTagsDialog } from './RemoveDialogs'

/** The tags of a repository, the newest first, as the server sorts them. */
export function TagsTable({ repository, onGuide }: { repository: Repository; onGuide: () => void }) {
  const { t } = useTranslation()
  const may = useMay()
  const { message } = AntApp.useApp()
  const tags = useQuery(tagsQuery(repository.id))
  const registry = useQuery(registryQuery)
  const [search, setSearch] = useSearchParams()
  const [chosen, setChosen] = useState<string[]>([])
  const [removing, setRemoving] = useState<Tag[] | null>(null)
  const wanted = (search.get('q') ?? '').toLowerCase()
  const rows = useMemo(() => (tags.data?.items ?? []).filter((tag) => tag.name.toLowerCase().includes(wanted) || tag.digest.includes(wanted)), [tags.data, wanted])
  const mayRemove = Boolean(repository.status.writable)
  const picked = rows.filter((tag) => chosen.includes(tag.name))
  if (tags.isError) return <ProblemAlert problem={asProblem(tags.error)} retry={() => void tags.refetch()} />
  if (tags.data?.items.length === 0) {
    const host = registry.data?.hosts[0]
    return (
      <Section>
        <EmptyState
          sentence={t('tag.none')}
          action={
            mayRemove ? (
              <Button type="primary" onClick={onGuide}>
                {t('guide.title')}
              </Button>
            ) : undefined
          }
          command={mayRemove && host ? `docker push ${host}/${repository.path}:1.0` : undefined}
        />
      </Section>
    )
  }
  const columns: TableColumnsType<Tag> = [
    {
      key: 'name',
      title: t('tag.tag'),
      render: (_, tag) => {
        const kind = artifactKind(tag.mediaType, tag.artifactType)
        return (
          <span className="sk-namecell">
            <Link className="sk-name" to={imagePath(repository, tag.name)}>
              {tag.name}
            </Link>
            {kind !== 'image' && kind !== 'index' && <Label>{t(`artifactKind.${kind}`)}</Label>}
            {tag.inUse && <Label color="green">{t('tag.inUse')}</Label>}
          </span>
        )
      },
    },
    { key: 'digest', title: t('column.digest'), responsive: ['md'], render: (_, tag) => <Digest value={tag.digest} /> },
    { key: 'platforms', title: t('artifact.platforms'), responsive: ['lg'], render: (_, tag) => (tag.platforms?.length ? tag.platforms.map((platform) => <div key={platform}>{platform}</div>) : '–') },
    { key: 'size', title: t('column.size'), align: 'right', render: (_, tag) => <span className="sk-number">{formatBytes(tag.sizeBytes)}</span> },
    { key: 'updated', title: t('tag.updated'), align: 'right', responsive: ['sm'], render: (_, tag) => <span className="sk-nowrap"><Time at={tag.updatedAt} /></span> },
    { key: 'by', title: t('tag.by'), responsive: ['lg'], render: (_, tag) => tag.updatedBy || '–' },
    {
      key: 'actions',
      title: <span className="sk-visually-hidden">{t('column.actions')}</span>,
      align: 'right',
      width: 88,
      render: (_, tag) => (
        <Space size={0}>
          {may('app.write') && (
            <Link to={`/apps/new?image=${encodeURIComponent(`${repository.path}:${tag.name}`)}`} aria-label={t('images.deploy', { name: `${repository.path}:${tag.name}` })}>
              <Button type="text" icon={<PlusOutlined />} title={t('apps.deploy')} tabIndex={-1} aria-hidden />
            </Link>
          )}
          {mayRemove && <Button type="text" icon={<DeleteOutlined />} aria-label={t('images.remove', { name: tag.name })} title={t('action.remove')} onClick={() => setRemoving([tag])} />}
        </Space>
      ),
    },
  ]
  return (
    <>
      <div className="sk-toolbar">
        <Input.Search
          allowClear
          style={{ width: 260 }}
          placeholder={t('tag.filter')}
          aria-label={t('tag.filter')}
          value={search.get('q') ?? ''}
          onChange={(event) =>
            setSearch(
              (old) => {
                if (event.target.value) old.set('q', event.target.value)
                else old.delete('q')
                return old
              },
              { replace: true },
            )
          }
        />
        {picked.length > 0 && (
          <Button danger icon={<DeleteOutlined />} onClick={() => setRemoving(picked)}>
            {t('tag.removeChosen', { count: picked.length })}
          </Button>
        )}
      </div>
      <Section flush>
        <Table
          rowKey="name"
          size="middle"
          columns={columns}
          dataSource={rows}
          loading={tags.isPending}
          rowSelection={mayRemove ? { selectedRowKeys: chosen, onChange: (keys) => setChosen(keys.map(String)), getCheckboxProps: (tag) => ({ 'aria-label': t('tag.choose', { name: tag.name }) }), columnWidth: 40, getTitleCheckboxProps: () => ({ 'aria-label': t('tag.chooseAll') }) } : undefined}
          pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }}
          locale={{ emptyText: tags.isPending ? ' ' : t('tag.noMatch') }}
        />
      </Section>
      {removing && (
        <RemoveTagsDialog
          repository={repository}
          tags={removing}
          onClose={() => setRemoving(null)}
          onRemoved={({ removed, bytes }) => {
            setChosen((old) => old.filter((name) => !removed.includes(name)))
            message.success(t('tag.removedSome', { count: removed.length, size: formatBytes(bytes) }))
          }}
        />
      )}
    </>
  )
}
