import { useQueries } from '@tanstack/react-query'
import { Alert, Checkbox } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { ManifestDetail, Repository, Tag } from '@/api/model'
import { asProblem } from '@/api/problem'
import { formatBytes } from '@/shared/lib/format'
import { commandLine, curl } from '@/shared/lib/shell'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { UsedByList } from '@/shared/ui/ImageParts'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { callPath } from './paths'
import { manifestQuery, useRemoveManifest, useRemoveRepository, useRemoveTags, type TagsRemoved } from './queries'

/** Beyond so many tags what each would free is not asked for: the sum would be late and rough. */
const askedFor = 12

/** Removes the tags chosen; says what that frees, what is in use, and afterwards what each refused. */
export function RemoveTagsDialog({ repository, tags, onClose, onRemoved }: { repository: Repository; tags: Tag[]; onClose: () => void; onRemoved: (result: TagsRemoved) => void }) {
  const { t } = useTranslation()
  const remove = useRemoveTags(repository.id)
  const used = tags.filter((tag) => tag.inUse)
  const digests = [...new Set(tags.map((tag) => tag.digest))]
  const details = useQueries({ queries: (digests.length <= askedFor ? digests : []).map((digest) => manifestQuery(repository.id, digest)) })
  // What other tags name or something runs stays, so it frees nothing.
  const going = new Set(tags.filter((tag) => !tag.inUse).map((tag) => tag.name))
  const known = details.flatMap(({ data }) => (data ? [data] : []))
  const frees = known.filter((manifest) => manifest.tags.every((tag) => going.has(tag))).reduce((sum, manifest) => sum + (manifest.freesBytes ?? 0), 0)
  const refused = remove.data?.refused ?? []
  return (
    <ConfirmDialog
      title={tags.length === 1 && tags[0] ? t('tag.removeOne', { name: `${repository.path}:${tags[0].name}` }) : t('tag.removeMany', { count: tags.length, name: repository.path })}
      submit={t('action.remove')}
      pending={remove.isPending}
      blocked={refused.length > 0}
      extra={<SameAs compact cli={commandLine('skerry', 'image', 'rm', ...tags.map((tag) => `${repository.path}:${tag.name}`))} api={tags.slice(0, 5).map((tag) => curl({ method: 'DELETE', path: `${callPath(repository)}/tags/${encodeURIComponent(tag.name)}` })).join('\n')} />}
      onClose={() => {
        if (remove.data) onRemoved(remove.data)
        onClose()
      }}
      onSubmit={() =>
        remove.mutate(tags, {
          onSuccess: (result) => {
            if (result.refused.length > 0) return
            onRemoved(result)
            onClose()
          },
        })
      }
    >
      {refused.length > 0 ? (
        <>
          {remove.data && remove.data.removed.length > 0 && <p>{t('tag.removedSome', { count: remove.data.removed.length, size: formatBytes(remove.data.bytes) })}</p>}
          {refused.map(({ tag, problem }) => (
            <ProblemAlert key={tag} problem={problem} />
          ))}
        </>
      ) : (
        <>
          <p>{tags.map((tag) => tag.name).join(', ')}</p>
          {details.length > 0 && <p>{known.length < details.length ? t('tag.counting') : frees > 0 ? t('tag.frees', { size: formatBytes(frees) }) : t('tag.freesNothing')}</p>}
          {used.length > 0 && <Alert type="warning" showIcon title={t('tag.inUseKept', { count: used.length, names: used.map((tag) => tag.name).join(', ') })} />}
        </>
      )}
    </ConfirmDialog>
  )
}

/** Removes one image of a repository with all its tags. */
export function RemoveImageDialog({ repository, manifest, onClose, onRemoved }: { repository: Repository; manifest: ManifestDetail; onClose: () => void; onRemoved: (bytes: number) => void }) {
  const { t } = useTranslation()
  const remove = useRemoveManifest(repository.id)
  const [force, setForce] = useState(false)
  const used = manifest.usedBy.length > 0
  return (
    <ConfirmDialog
      title={t('images.removeTitle', { name: manifest.name })}
      submit={t('action.remove')}
      pending={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
      blocked={used && !force}
      extra={<SameAs compact cli={manifest.tags.length > 0 && !force ? commandLine('skerry', 'image', 'rm', ...manifest.tags.map((tag) => `${repository.path}:${tag}`)) : undefined} api={curl({ method: 'DELETE', path: `${callPath(repository)}/manifests/${manifest.digest}${force ? '?force=true' : ''}` })} />}
      onClose={onClose}
      onSubmit={() => remove.mutate({ reference: manifest.digest, force }, { onSuccess: (freed) => onRemoved(freed.bytes) })}
    >
      {manifest.tags.length > 0 && <p>{t('tag.allTags', { count: manifest.tags.length, names: manifest.tags.join(', ') })}</p>}
      <p>{manifest.freesBytes ? t('tag.frees', { size: formatBytes(manifest.freesBytes) }) : t('tag.freesNothing')}</p>
      {used && (
        <>
          <p>{t('images.kept', { count: manifest.usedBy.length })}</p>
          <UsedByList users={manifest.usedBy} />
          <Checkbox checked={force} onChange={(event) => setForce(event.target.checked)}>
            {t('repository.force')}
          </Checkbox>
        </>
      )}
    </ConfirmDialog>
  )
}

/** Removes a repository with everything in it. The name is typed, because images are lost. */
export function RemoveRepositoryDialog({ repository, inUse, onClose, onRemoved }: { repository: Repository; inUse: number; onClose: () => void; onRemoved: (bytes: number) => void }) {
  const { t } = useTranslation()
  const remove = useRemoveRepository()
  const [force, setForce] = useState(false)
  const problem = remove.isError ? asProblem(remove.error) : null
  const { tags, manifests, sizeBytes } = repository.status
  return (
    <ConfirmDialog
      title={t('images.removeTitle', { name: repository.path })}
      submit={t('repository.remove')}
      typed={manifests > 0 ? repository.path : undefined}
      pending={remove.isPending}
      problem={problem}
      extra={<SameAs compact cli={commandLine('skerry', 'repo', 'rm', force && '--force', repository.path)} api={curl({ method: 'DELETE', path: `${callPath(repository)}${force ? '?force=true' : ''}` })} />}
      onClose={onClose}
      onSubmit={() => remove.mutate({ repository, force }, { onSuccess: (freed) => onRemoved(freed.bytes) })}
    >
      <p>{manifests > 0 ? t('repository.removeConsequence', { tags: t('repository.tagCount', { count: tags }), images: t('repository.imageCount', { count: manifests }), size: formatBytes(sizeBytes) }) : t('repository.removeEmpty')}</p>
      {(inUse > 0 || problem?.status === 409) && (
        <Checkbox checked={force} onChange={(event) => setForce(event.target.checked)}>
          {t('repository.force')}
        </Checkbox>
      )}
    </ConfirmDialog>
  )
}
