import { CloudUploadOutlined, DeleteOutlined, DownloadOutlined, MoreOutlined, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { Button, Dropdown, Tag } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate, useParams } from 'react-router'
import { address } from '@/api/client'
import { useMay } from '@/api/may'
import type { ImageDetail } from '@/api/model'
import { asProblem } from '@/api/problem'
import { imageQuery } from '@/api/queries'
import { formatBytes } from '@/shared/lib/format'
import { commandLine, curl } from '@/shared/lib/shell'
import { Digest } from '@/shared/ui/Digest'
import { ConfigFacts, LayerList, UsedByList, Values } from '@/shared/ui/ImageParts'
import { Facts, Page, PageSkeleton, Section } from '@/shared/ui/Page'
import { PageProblem } from '@/shared/ui/PageProblem'
import { SameAs } from '@/shared/ui/SameAs'
import { Time } from '@/shared/ui/Time'
import { PushDialog } from './PushDialog'
import { RemoveDialog } from './RemoveDialog'

export default function DetailPage() {
  const { t } = useTranslation()
  const { ref = '' } = useParams()
  const detail = useQuery(imageQuery(ref))
  if (detail.isPending) return <PageSkeleton />
  if (!detail.data) return <PageProblem title={t('image.title')} back={<Link to="/images">{t('nav.images')}</Link>} problem={asProblem(detail.error)} retry={() => void detail.refetch()} />
  return <Detail detail={detail.data} />
}

function Detail({ detail: { image, config, layers, usedBy, freesBytes } }: { detail: ImageDetail }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const may = useMay()
  const [dialog, setDialog] = useState<'push' | 'remove' | null>(null)
  const path = `/images/${encodeURIComponent(image.name)}`
  const file = `${image.name.replace(/[^\w.-]+/g, '_')}.tar`
  return (
    <Page
      title={image.name}
      plainTitle={image.name}
      back={<Link to="/images">{t('nav.images')}</Link>}
      beside={
        <>
          {image.public && <Tag>{t('images.public')}</Tag>}
          <span className="sk-muted">
            <Time at={image.createdAt} />
          </span>
        </>
      }
      actions={
        <>
          {may('app.write') && (
            <Link to={`/apps/new?image=${encodeURIComponent(image.name)}`}>
              <Button type="primary" icon={<PlusOutlined />} tabIndex={-1}>
                {t('apps.deploy')}
              </Button>
            </Link>
          )}
          {may('image.write') && (
            <Button icon={<CloudUploadOutlined />} onClick={() => setDialog('push')}>
              {t('image.push')}
            </Button>
          )}
          <SameAs cli={commandLine('skerry', 'image', 'inspect', image.name)} api={curl({ path })} compose={`services:\n  app:\n    image: ${JSON.stringify(image.name)}\n`} />
          <Dropdown
            trigger={['click']}
            menu={{
              items: [
                {
                  key: 'export',
                  icon: <DownloadOutlined />,
                  label: (
                    <a href={address(`/images/${encodeURIComponent(image.id)}/export`)} download={file}>
                      {t('image.export')}
                    </a>
                  ),
                },
                ...(may('image.write')
                  ? [{ type: 'divider' as const }, { key: 'remove', icon: <DeleteOutlined />, danger: true, label: t('action.remove'), onClick: () => setDialog('remove') }]
                  : []),
              ],
            }}
          >
            <Button icon={<MoreOutlined />} aria-label={t('action.more')} />
          </Dropdown>
        </>
      }
    >
      <div className="sk-two">
        <div>
          <Section title={t('image.facts')}>
            <Facts
              items={[
                { label: t('column.digest'), value: <Digest value={image.digest} /> },
                { label: t('column.size'), value: formatBytes(image.sizeBytes) },
                { label: t('image.frees'), value: freesBytes === undefined ? '–' : formatBytes(freesBytes) },
                { label: t('artifact.platforms'), value: image.platforms?.join(', ') || '–' },
              ]}
            />
          </Section>
          <Section title={t('artifact.layersCount', { count: layers.length })} extra={<span className="sk-muted sk-number">{formatBytes(layers.reduce((sum, layer) => sum + layer.sizeBytes, 0))}</span>} flush>
            <LayerList layers={layers} />
          </Section>
        </div>
        <div>
          <Section title={t('images.usedBy')}>
            <UsedByList users={usedBy} />
          </Section>
          <Section title={t('artifact.config')}>{config ? <ConfigFacts config={config} /> : <p className="sk-muted">{t('artifact.noContent')}</p>}</Section>
          {config && (
            <>
              <Section title={t('artifact.env')} flush>
                <Values values={(config.env ?? []).map(({ name, value }) => [name, value ?? ''])} none={t('artifact.noEnv')} />
              </Section>
              <Section title={t('artifact.labels')} flush>
                <Values values={Object.entries(config.labels ?? {})} none={t('artifact.noLabels')} />
              </Section>
            </>
          )}
        </div>
      </div>
      {dialog === 'push' && <PushDialog image={image} onClose={() => setDialog(null)} />}
      {dialog === 'remove' && <RemoveDialog image={image} onClose={() => setDialog(null)} onRemoved={() => void navigate('/images')} />}
    </Page>
  )
}
