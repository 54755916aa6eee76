import { CloudDownloadOutlined, DeleteOutlined, PlusOutlined, UploadOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Input, Space, Table, Tag, type TableColumnsType } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useSearchParams } from 'react-router'
import { useMay } from '@/api/may'
import type { Image } from '@/api/model'
import { asProblem } from '@/api/problem'
import { imagesQuery } from '@/api/queries'
import { formatBytes } from '@/shared/lib/format'
import { Digest } from '@/shared/ui/Digest'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Time } from '@/shared/ui/Time'
import { PullDialog } from './PullDialog'
import { allServicesQuery } from './queries'
import { RemoveDialog } from './RemoveDialog'
import { UploadDialog } from './UploadDialog'
import { Uploads } from './Uploads'
import { useFileDrop } from './useFileDrop'

export default function ListPage() {
  const { t } = useTranslation()
  const may = useMay()
  const images = useQuery(imagesQuery)
  const services = useQuery(allServicesQuery)
  const [search, setSearch] = useSearchParams()
  const [dropped, setDropped] = useState<File[]>([])
  const [removing, setRemoving] = useState<Image | null>(null)
  const mayWrite = may('image.write')
  // Which dialog is open stands in the address, so that the palette and links can open it.
  const doing = search.get('do')
  const open = (dialog: string | null) =>
    setSearch(
      (old) => {
        if (dialog) old.set('do', dialog)
        else old.delete('do')
        return old
      },
      { replace: true },
    )
  const close = () => {
    setDropped([])
    open(null)
  }
  const over = useFileDrop(mayWrite && doing !== 'upload', (files) => {
    setDropped(files)
    open('upload')
  })
  const wanted = (search.get('q') ?? '').toLowerCase()
  const rows = useMemo(
    () => (images.data?.items ?? []).filter((image) => image.name.toLowerCase().includes(wanted) || image.digest.includes(wanted)).sort((a, b) => a.name.localeCompare(b.name)),
    [images.data, wanted],
  )
  // Which services use an image, by its name.
  const users = useMemo(() => {
    const found = new Map<string, string[]>()
    for (const service of services.data?.items ?? []) {
      const image = service.spec.container.image
      found.set(image, [...(found.get(image) ?? []), service.appName === service.name ? service.name : `${service.appName} / ${service.name}`])
    }
    return found
  }, [services.data])
  const columns: TableColumnsType<Image> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, image) => (
        <span className="sk-namecell">
          <Link className="sk-name" to={`/images/${encodeURIComponent(image.id)}`}>
            {image.name}
          </Link>
          {image.public && <Tag>{t('images.public')}</Tag>}
        </span>
      ),
    },
    { key: 'digest', title: t('column.digest'), responsive: ['xl'], render: (_, image) => <Digest value={image.digest} /> },
    { key: 'platforms', title: t('column.platform'), responsive: ['lg'], render: (_, image) => image.platforms?.join(', ') ?? '–' },
    { key: 'size', title: t('column.size'), align: 'right', render: (_, image) => <span className="sk-number">{formatBytes(image.sizeBytes)}</span> },
    {
      key: 'used',
      title: t('images.usedBy'),
      responsive: ['md'],
      render: (_, image) => {
        const names = users.get(image.name) ?? []
        return names.length === 0 ? <span className="sk-muted">–</span> : <span title={names.join(', ')}>{t('images.users', { count: names.length })}</span>
      },
    },
    { key: 'age', title: t('column.age'), align: 'right', responsive: ['sm'], render: (_, image) => <span className="sk-nowrap"><Time at={image.createdAt} /></span> },
    {
      key: 'actions',
      title: <span className="sk-visually-hidden">{t('column.actions')}</span>,
      align: 'right',
      width: 96,
      render: (_, image) => (
        <Space size={0}>
          {may('app.write') && (
            <Link to={`/apps/new?image=${encodeURIComponent(image.name)}`}>
              <Button type="text" icon={<PlusOutlined />} aria-label={t('images.deploy', { name: image.name })} title={t('apps.deploy')} tabIndex={-1} />
            </Link>
          )}
          {mayWrite && <Button type="text" icon={<DeleteOutlined />} aria-label={t('images.remove', { name: image.name })} title={t('action.remove')} onClick={() => setRemoving(image)} />}
        </Space>
      ),
    },
  ]
  const pull = (
    <Button type="primary" icon={<CloudDownloadOutlined />} onClick={() => open('pull')}>
      {t('images.pull')}
    </Button>
  )
  const none = images.data?.items.length === 0
  return (
    <Page
      title={t('nav.images')}
      plainTitle={t('nav.images')}
      actions={
        mayWrite && (
          <>
            {!none && pull}
            <Button icon={<UploadOutlined />} onClick={() => open('upload')}>
              {t('images.upload')}
            </Button>
          </>
        )
      }
    >
      {over && (
        <div className="sk-drop-page" aria-hidden>
          <div>{t('upload.dropHere')}</div>
        </div>
      )}
      <Uploads />
      {images.isError && <ProblemAlert problem={asProblem(images.error)} retry={() => void images.refetch()} />}
      {none ? (
        <Section>
          <EmptyState sentence={t('images.empty')} action={mayWrite ? pull : undefined} command="skerry image import nginx.tar" />
        </Section>
      ) : (
        <>
          <div className="sk-toolbar">
            <Input.Search
              allowClear
              style={{ width: 260 }}
              placeholder={t('images.filter')}
              aria-label={t('images.filter')}
              value={search.get('q') ?? ''}
              onChange={(event) => setSearch(event.target.value ? { q: event.target.value } : {}, { replace: true })}
            />
          </div>
          <Section flush>
            <Table
              rowKey="id"
              size="middle"
              columns={columns}
              dataSource={rows}
              loading={images.isPending}
              pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }}
              locale={{ emptyText: images.isPending ? ' ' : t('images.noMatch') }}
            />
          </Section>
        </>
      )}
      {doing === 'pull' && mayWrite && <PullDialog onClose={close} />}
      {doing === 'upload' && mayWrite && <UploadDialog dropped={dropped} onClose={close} />}
      {removing && <RemoveDialog image={removing} onClose={() => setRemoving(null)} />}
    </Page>
  )
}
