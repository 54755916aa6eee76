import { useTranslation } from 'react-i18next'
import type { Volume } from '@/api/model'
import { asProblem } from '@/api/problem'
import { formatBytes } from '@/shared/lib/format'
import { commandLine } from '@/shared/lib/shell'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { SameAs } from '@/shared/ui/SameAs'
import { useRemoveVolume } from './queries'
import { Users } from './users'

/** A volume's data cannot be brought back, so its name is asked for; one that is used cannot be removed, and says by whom. */
export function RemoveDialog({ volume, onClose, onRemoved }: { volume: Volume; onClose: () => void; onRemoved: () => void }) {
  const { t } = useTranslation()
  const remove = useRemoveVolume()
  const users = volume.status.usedBy
  const size = volume.status.usedBytes
  return (
    <ConfirmDialog
      title={t('volumes.removeTitle', { name: volume.name })}
      submit={t('volumes.remove')}
      typed={users.length > 0 ? undefined : volume.name}
      blocked={users.length > 0}
      pending={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
      extra={<SameAs compact cli={commandLine('skerry', 'volume', 'rm', volume.name)} />}
      onClose={onClose}
      onSubmit={() =>
        remove.mutate(volume, {
          onSuccess: () => {
            onClose()
            onRemoved()
          },
        })
      }
    >
      {users.length > 0 ? (
        <>
          <p>{t('volumes.removeUsed', { count: users.length })}</p>
          <Users users={users} />
        </>
      ) : (
        <p>{size === undefined ? t('volumes.removeConsequence') : t('volumes.removeBytes', { size: formatBytes(size) })}</p>
      )}
    </ConfirmDialog>
  )
}
