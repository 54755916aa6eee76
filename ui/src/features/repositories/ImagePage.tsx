import { DeleteOutlined, DownloadOutlined, MoreOutlined, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Dropdown, Form, Input, Modal, Tag as Label } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate, useParams } from 'react-router'
import { address } from '@/api/client'
import { useMay } from '@/api/may'
import type { ManifestDetail, ManifestPart, Repository } from '@/api/model'
import { asProblem } from '@/api/problem'
import { formatBytes } from '@/shared/lib/format'
import { artifactKind } from '@/shared/lib/layers'
import { shortDigest } from '@/shared/lib/image'
import { commandLine, curl } from '@/shared/lib/shell'
import { Digest } from '@/shared/ui/Digest'
import { ConfigFacts, LayerList, UsedByList, Values } from '@/shared/ui/ImageParts'
import { Facts, Page, PageSkeleton, Section } from '@/shared/ui/Page'
import { PageProblem } from '@/shared/ui/PageProblem'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { FoldedSameAs } from '@/shared/ui/FoldedSameAs'
import { SameAs } from '@/shared/ui/SameAs'
import { Time } from '@/shared/ui/Time'
import { callPath, imagePath, repositoryPath, tagName } from './paths'
import { PullGuide } from './PushGuide'
import { manifestQuery, repositoryQuery, usePutTag } from './queries'
import { RemoveImageDialog } from './RemoveDialogs'

/** One image of a repository, by tag or digest. */
export default function ImagePage() {
  const { ref = '', reference = '' } = useParams()
  const repository = useQuery(repositoryQuery(ref))
  const manifest = useQuery(manifestQuery(ref, reference))
  const shown = `${ref}${reference.includes(':') ? `@${shortDigest(reference)}` : `:${reference}`}`
  if (repository.isPending || manifest.isPending) return <PageSkeleton />
  if (!repository.data || !manifest.data) {
    const failed = repository.isError ? repository : manifest
    return <PageProblem title={shown} back={<Link to={`/repositories/${encodeURIComponent(ref)}`}>{ref}</Link>} problem={asProblem(failed.error)} retry={() => void failed.refetch()} />
  }
  return <Detail repository={repository.data} manifest={manifest.data} reference={reference} shown={shown} />
}

function Detail({ repository, manifest, reference, shown }: { repository: Repository; manifest: ManifestDetail; reference: string; shown: string }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const may = useMay()
  const { message } = AntApp.useApp()
  const [dialog, setDialog] = useState<'remove' | 'tag' | null>(null)
  const writable = Boolean(repository.status.writable)
  const kind = artifactKind(manifest.mediaType, manifest.artifactType, manifest.annotations)
  const runnable = kind === 'image' || kind === 'index'
  const { config, layers, usedBy, referrers = [], manifests = [] } = manifest
  const call = `${callPath(repository)}/manifests/${encodeURIComponent(reference)}`
  return (
    <Page
      title={shown}
      plainTitle={shown}
      back={
        <>
          <Link to="/repositories">{t('nav.repositories')}</Link> / <Link to={repositoryPath(repository)}>{repository.path}</Link>
        </>
      }
      beside={
        <>
          <Label>{t(`artifactKind.${kind}`)}</Label>
          <span className="sk-muted">
            {formatBytes(manifest.sizeBytes)} · {manifest.pushedBy ? `${manifest.pushedBy} · ` : ''}
            <Time at={manifest.pushedAt} />
          </span>
        </>
      }
      actions={
        <>
          {runnable && may('app.write') && (
            <Link to={`/apps/new?image=${encodeURIComponent(manifest.name)}`}>
              <Button type="primary" icon={<PlusOutlined />} tabIndex={-1}>
                {t('apps.deploy')}
              </Button>
            </Link>
          )}
          <SameAs cli={commandLine('skerry', 'image', 'inspect', manifest.name)} api={curl({ path: call })} compose={runnable ? `services:\n  app:\n    image: ${JSON.stringify(manifest.name)}\n` : undefined} />
          <Dropdown
            trigger={['click']}
            menu={{
              items: [
                {
                  key: 'export',
                  icon: <DownloadOutlined />,
                  label: (
                    <a href={address(`/repositories/${encodeURIComponent(repository.id)}/manifests/${encodeURIComponent(reference)}/export`)} download={`${shown.replace(/[^\w.-]+/g, '_')}.tar`}>
                      {t('image.export')}
                    </a>
                  ),
                },
                ...(writable
                  ? [
                      { key: 'tag', icon: <PlusOutlined />, label: t('tag.add'), onClick: () => setDialog('tag') },
                      { type: 'divider' as const },
                      { key: 'remove', icon: <DeleteOutlined />, danger: true, label: t('action.remove'), onClick: () => setDialog('remove') },
                    ]
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
                { label: t('column.digest'), value: <Digest value={manifest.digest} /> },
                { label: t('repository.tags'), value: manifest.tags.length ? manifest.tags.join(', ') : '–' },
                { label: t('image.frees'), value: manifest.freesBytes === undefined ? '–' : formatBytes(manifest.freesBytes) },
                { label: t('artifact.mediaType'), value: manifest.artifactType || manifest.mediaType },
              ]}
            />
          </Section>
          {manifests.length > 0 && (
            <Section title={t('artifact.platforms')} flush>
              <Parts repository={repository} parts={manifests} />
            </Section>
          )}
          <Section title={t('artifact.layersCount', { count: layers.length })} extra={<span className="sk-muted sk-number">{formatBytes(layers.reduce((sum, layer) => sum + layer.sizeBytes, 0))}</span>} flush>
            <LayerList layers={layers} />
          </Section>
          <Section title={t('guide.pull')}>
            <PullGuide path={repository.path} reference={reference} name={runnable ? manifest.name : undefined} more={`${repositoryPath(repository)}?tab=push`} />
          </Section>
        </div>
        <div>
          <Section title={t('images.usedBy')}>
            <UsedByList users={usedBy} />
          </Section>
          <Section title={t('artifact.referrers')} flush>
            {referrers.length > 0 ? <Parts repository={repository} parts={referrers} /> : <p className="sk-muted sk-section-body">{t('artifact.noReferrers')}</p>}
          </Section>
          {config && (
            <>
              <Section title={t('artifact.config')}>
                <ConfigFacts config={config} />
              </Section>
              <Section title={t('artifact.env')} flush>
                <Values values={(config.env ?? []).map(({ name, value }) => [name, value ?? ''])} none={t('artifact.noEnv')} />
              </Section>
              <Section title={t('artifact.labels')} flush>
                <Values values={Object.entries(config.labels ?? {})} none={t('artifact.noLabels')} />
              </Section>
            </>
          )}
          {Object.keys(manifest.annotations ?? {}).length > 0 && (
            <Section title={t('artifact.annotations')} flush>
              <Values values={Object.entries(manifest.annotations ?? {})} none="" />
            </Section>
          )}
        </div>
      </div>
      {dialog === 'tag' && <TagDialog repository={repository} manifest={manifest} onClose={() => setDialog(null)} />}
      {dialog === 'remove' && (
        <RemoveImageDialog
          repository={repository}
          manifest={manifest}
          onClose={() => setDialog(null)}
          onRemoved={(bytes) => {
            message.success(t('repository.removed', { name: manifest.name, size: formatBytes(bytes) }))
            void navigate(repositoryPath(repository))
          }}
        />
      )}
    </Page>
  )
}

/** Manifests that belong to this one: the platforms of an index, or what refers to it. */
function Parts({ repository, parts }: { repository: Repository; parts: ManifestPart[] }) {
  const { t } = useTranslation()
  return (
    <ul className="sk-plain-list">
      {parts.map((part) => {
        const kind = artifactKind(part.mediaType, part.artifactType, part.annotations)
        const name = part.platform && kind !== 'attestation' ? part.platform : t(`artifactKind.${kind}`)
        return (
          <li key={part.digest}>
            <span className="sk-grow">
              <Link className="sk-name" to={imagePath(repository, part.digest)}>
                {name}
              </Link>
              {part.artifactType && <div className="sk-note">{part.artifactType}</div>}
            </span>
            <span className="sk-number sk-muted">{formatBytes(part.sizeBytes)}</span>
            <Digest value={part.digest} />
          </li>
        )
      })}
    </ul>
  )
}

/** Points another tag at this image; nothing is copied. */
function TagDialog({ repository, manifest, onClose }: { repository: Repository; manifest: ManifestDetail; onClose: () => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const [form] = Form.useForm<{ tag: string }>()
  const tag = (Form.useWatch('tag', form) ?? '').trim()
  const put = usePutTag(repository.id)
  return (
    <Modal open title={t('tag.addTitle', { name: manifest.name })} okText={t('tag.add')} cancelText={t('action.cancel')} confirmLoading={put.isPending} onCancel={onClose} onOk={() => form.submit()}>
      {put.isError && <ProblemAlert problem={asProblem(put.error)} />}
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        onFinish={(values) =>
          put.mutate(
            { tag: values.tag.trim(), digest: manifest.digest },
            {
              onSuccess: (made) => {
                message.success(t('tag.added', { name: `${repository.path}:${made.name}` }))
                onClose()
              },
            },
          )
        }
      >
        <Form.Item name="tag" label={t('tag.tag')} extra={t('tag.addHelp')} rules={[{ required: true, whitespace: true, message: t('tag.missing') }, { pattern: tagName, transform: (value: string) => value.trim(), message: t('tag.rule') }]}>
          <Input autoFocus spellCheck={false} autoCapitalize="none" placeholder="stable" />
        </Form.Item>
      </Form>
      <FoldedSameAs cli={commandLine('skerry', 'image', 'push', manifest.name, `${repository.path}:${tag || 'TAG'}`)} api={curl({ method: 'PUT', path: `${callPath(repository)}/tags/${tag || 'TAG'}`, json: { digest: manifest.digest } })} />
    </Modal>
  )
}
