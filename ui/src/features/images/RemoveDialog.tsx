import { useQuery } from '@tanstack/react-query'
import { Skeleton } from 'antd'
import { useTranslation } from 'react-i18next'
import type { Image } from '@/api/model'
import { asProblem } from '@/api/problem'
import { imageQuery } from '@/api/queries'
import { formatBytes } from '@/shared/lib/format'
import { commandLine, curl } from '@/shared/lib/shell'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { UsedByList } from '@/shared/ui/ImageParts'
import { SameAs } from '@/shared/ui/SameAs'
import { useRemoveImage } from './queries'

/** Says what removing an image frees, and what keeps it. */
export function RemoveDialog({ image, onClose, onRemoved }: { image: Image; onClose: () => void; onRemoved?: () => void }) {
  const { t } = useTranslation()
  const remove = useRemoveImage()
  const detail = useQuery(imageQuery(image.id))
  const users = detail.data?.usedBy ?? []
  const frees = detail.data?.freesBytes
  return (
    <ConfirmDialog
      title={t('images.removeTitle', { name: image.name })}
      submit={t('action.remove')}
      pending={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
      blocked={users.length > 0 || detail.isPending}
      extra={<SameAs compact cli={commandLine('skerry', 'image', 'rm', image.name)} api={curl({ method: 'DELETE', path: `/images/${encodeURIComponent(image.name)}` })} />}
      onClose={onClose}
      onSubmit={() =>
        remove.mutate(image, {
          onSuccess: () => {
            onClose()
            onRemoved?.()
          },
        })
      }
    >
      {detail.isPending ? (
        <Skeleton active title={false} paragraph={{ rows: 2 }} />
      ) : users.length > 0 ? (
        <>
          <p>{t('images.kept', { count: users.length })}</p>
          <UsedByList users={users} />
        </>
      ) : frees === undefined ? (
        <p>{t('images.freesAtMost', { size: formatBytes(image.sizeBytes) })}</p>
      ) : frees === 0 ? (
        <p>{t('images.freesNothing')}</p>
      ) : (
        <p>{t('images.frees', { size: formatBytes(frees), all: formatBytes(image.sizeBytes) })}</p>
      )}
    </ConfirmDialog>
  )
}
