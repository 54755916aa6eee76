import { DeleteOutlined, EditOutlined, MoreOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Dropdown, Tabs, Tag } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate, useParams, useSearchParams } from 'react-router'
import type { Repository } from '@/api/model'
import { asProblem } from '@/api/problem'
import { eventsQuery } from '@/api/queries'
import { formatBytes } from '@/shared/lib/format'
import { commandLine, curl } from '@/shared/lib/shell'
import { EventList } from '@/shared/ui/EventList'
import { Page, PageSkeleton, Section } from '@/shared/ui/Page'
import { PageProblem } from '@/shared/ui/PageProblem'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { Time } from '@/shared/ui/Time'
import { callPath } from './paths'
import { PushGuide } from './PushGuide'
import { repositoryQuery, tagsQuery } from './queries'
import { RemoveRepositoryDialog } from './RemoveDialogs'
import { RepositoryDialog } from './RepositoryDialog'
import { TagsTable } from './TagsTable'
import { VisibilityTag } from './VisibilityTag'

export default function DetailPage() {
  const { t } = useTranslation()
  const { ref = '' } = useParams()
  const repository = useQuery(repositoryQuery(ref))
  if (repository.isPending) return <PageSkeleton />
  if (!repository.data) return <PageProblem title={ref} back={<Link to="/repositories">{t('nav.repositories')}</Link>} problem={asProblem(repository.error)} retry={() => void repository.refetch()} />
  return <Detail repository={repository.data} />
}

function Detail({ repository }: { repository: Repository }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const { message } = AntApp.useApp()
  const [search, setSearch] = useSearchParams()
  const [dialog, setDialog] = useState<'edit' | 'remove' | null>(null)
  const tags = useQuery(tagsQuery(repository.id))
  const writable = Boolean(repository.status.writable)
  const tab = search.get('tab') ?? 'tags'
  const openTab = (key: string) => setSearch(key === 'tags' ? {} : { tab: key })
  return (
    <Page
      title={repository.path}
      plainTitle={repository.path}
      back={<Link to="/repositories">{t('nav.repositories')}</Link>}
      beside={
        <>
          {repository.upstream ? <Tag>{t('repository.mirrorOf', { name: repository.upstream })}</Tag> : <VisibilityTag visibility={repository.spec.visibility} />}
          <span className="sk-muted">
            {t('repository.tagCount', { count: repository.status.tags })} · {formatBytes(repository.status.sizeBytes)} · {repository.createdBy ? `${repository.createdBy} · ` : ''}
            <Time at={repository.createdAt} />
          </span>
        </>
      }
      actions={
        <>
          {tab !== 'push' && (
            <Button type={writable ? 'primary' : 'default'} onClick={() => openTab('push')}>
              {writable ? t('guide.title') : t('guide.titlePull')}
            </Button>
          )}
          {writable && (
            <Button icon={<EditOutlined />} onClick={() => setDialog('edit')}>
              {t('edit.edit')}
            </Button>
          )}
          <SameAs cli={commandLine('skerry', 'repo', 'tags', repository.path)} api={curl({ path: `${callPath(repository)}/tags` })} />
          {writable && (
            <Dropdown trigger={['click']} menu={{ items: [{ key: 'remove', icon: <DeleteOutlined />, danger: true, label: t('repository.remove'), onClick: () => setDialog('remove') }] }}>
              <Button icon={<MoreOutlined />} aria-label={t('action.more')} />
            </Dropdown>
          )}
        </>
      }
    >
      {repository.spec.description && <p className="sk-description sk-lead-text">{repository.spec.description}</p>}
      <Tabs
        activeKey={tab}
        onChange={openTab}
        destroyOnHidden
        items={[
          { key: 'tags', label: t('repository.tags'), children: <TagsTable repository={repository} onGuide={() => openTab('push')} /> },
          {
            key: 'push',
            label: writable ? t('guide.title') : t('guide.titlePull'),
            children: (
              <Section>
                <PushGuide path={repository.path} writable={writable} />
              </Section>
            ),
          },
          { key: 'events', label: t('nav.events'), children: <EventsTab repository={repository} /> },
        ]}
      />
      {dialog === 'edit' && <RepositoryDialog repository={repository} onClose={() => setDialog(null)} />}
      {dialog === 'remove' && (
        <RemoveRepositoryDialog
          repository={repository}
          inUse={(tags.data?.items ?? []).filter((tag) => tag.inUse).length}
          onClose={() => setDialog(null)}
          onRemoved={(bytes) => {
            message.success(t('repository.removed', { name: repository.path, size: formatBytes(bytes) }))
            void navigate('/repositories')
          }}
        />
      )}
    </Page>
  )
}

function EventsTab({ repository }: { repository: Repository }) {
  const events = useQuery(eventsQuery({ kind: 'repository', object: repository.id, limit: 100 }))
  return <Section flush>{events.isError ? <ProblemAlert problem={asProblem(events.error)} /> : <EventList events={events.data?.items} />}</Section>
}
