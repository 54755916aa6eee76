import { CloudDownloadOutlined, DeleteOutlined, PlusOutlined, UploadOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Input, Modal, Space, Table, Tag, type TableColumnsType } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useSearchParams } from 'react-router'
import type { Image } from '@/api/model'
import { asProblem } from '@/api/problem'
import { imageQuery, imagesQuery } from '@/api/queries'
import { formatBytes } from '@/shared/lib/format'
import { shortDigest } from '@/shared/lib/image'
import { CopyButton } from '@/shared/ui/CopyButton'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Time } from '@/shared/ui/Time'
import { ImportDialog } from './ImportDialog'
import { PullDialog } from './PullDialog'
import { useRemoveImage } from './queries'

export default function ListPage() {
  const { t } = useTranslation()
  const images = useQuery(imagesQuery)
  const [search, setSearch] = useSearchParams()
  const [dialog, setDialog] = useState<'pull' | 'import' | null>(null)
  const [removing, setRemoving] = useState<Image | null>(null)
  const wanted = (search.get('q') ?? '').toLowerCase()
  const rows = useMemo(
    () => (images.data?.items ?? []).filter((image) => image.name.toLowerCase().includes(wanted)).sort((a, b) => a.name.localeCompare(b.name)),
    [images.data, wanted],
  )
  const columns: TableColumnsType<Image> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, image) => (
        <span className="sk-namecell">
          <span className="sk-name">{image.name}</span>
          {image.public && <Tag>{t('images.public')}</Tag>}
        </span>
      ),
    },
    {
      key: 'digest',
      title: t('column.digest'),
      responsive: ['md'],
      render: (_, image) => (
        <span className="sk-copyline">
          <span title={image.digest}>{shortDigest(image.digest)}</span>
          <CopyButton text={image.digest} />
        </span>
      ),
    },
    { key: 'platforms', title: t('column.platform'), responsive: ['lg'], render: (_, image) => image.platforms?.join(', ') ?? '–' },
    { key: 'size', title: t('column.size'), align: 'right', render: (_, image) => <span className="sk-number">{formatBytes(image.sizeBytes)}</span> },
    { key: 'age', title: t('column.age'), align: 'right', responsive: ['sm'], render: (_, image) => <span className="sk-nowrap"><Time at={image.createdAt} /></span> },
    {
      key: 'actions',
      title: <span className="sk-visually-hidden">{t('column.actions')}</span>,
      align: 'right',
      width: 96,
      render: (_, image) => (
        <Space size={0}>
          <Link to={`/apps/new?image=${encodeURIComponent(image.name)}`}>
            <Button type="text" icon={<PlusOutlined />} aria-label={t('images.deploy', { name: image.name })} title={t('apps.deploy')} />
          </Link>
          <Button type="text" icon={<DeleteOutlined />} aria-label={t('images.remove', { name: image.name })} title={t('action.remove')} onClick={() => setRemoving(image)} />
        </Space>
      ),
    },
  ]
  const pull = (
    <Button type="primary" icon={<CloudDownloadOutlined />} onClick={() => setDialog('pull')}>
      {t('images.pull')}
    </Button>
  )
  const none = images.data?.items.length === 0
  return (
    <Page
      title={t('nav.images')}
      plainTitle={t('nav.images')}
      actions={
        <>
          {!none && pull}
          <Button icon={<UploadOutlined />} onClick={() => setDialog('import')}>
            {t('images.import')}
          </Button>
        </>
      }
    >
      {images.isError && <ProblemAlert problem={asProblem(images.error)} retry={() => void images.refetch()} />}
      {none ? (
        <Section>
          <EmptyState sentence={t('images.empty')} action={pull} command="skerry image import nginx.tar" />
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
      {dialog === 'pull' && <PullDialog onClose={() => setDialog(null)} />}
      {dialog === 'import' && <ImportDialog onClose={() => setDialog(null)} />}
      {removing && <RemoveImage image={removing} onClose={() => setRemoving(null)} />}
    </Page>
  )
}

function RemoveImage({ image, onClose }: { image: Image; onClose: () => void }) {
  const { t } = useTranslation()
  const remove = useRemoveImage()
  const detail = useQuery(imageQuery(image.id))
  const users = detail.data?.usedBy ?? []
  return (
    <Modal
      open
      title={t('images.removeTitle', { name: image.name })}
      okText={t('action.remove')}
      cancelText={t('action.cancel')}
      okButtonProps={{ danger: true }}
      confirmLoading={remove.isPending}
      onCancel={onClose}
      onOk={() => remove.mutate(image, { onSuccess: onClose })}
    >
      {remove.isError && <ProblemAlert problem={asProblem(remove.error)} />}
      <p>{t('images.removeConsequence', { size: formatBytes(image.sizeBytes) })}</p>
      {users.length > 0 && <p>{t('images.usedBy', { count: users.length, names: users.map((user) => user.name).join(', ') })}</p>}
    </Modal>
  )
}
