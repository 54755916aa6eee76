import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { Container } from '@/api/model'
import { asProblem } from '@/api/problem'
import { commandLine } from '@/shared/lib/shell'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { SameAs } from '@/shared/ui/SameAs'
import { removal } from './list'
import { useBulk, type Refusal } from './queries'

/** Names what removing these containers does: what is replaced, which apps go with them, what is lost. */
export function RemoveDialog({ chosen, all, onClose, onRemoved }: { chosen: Container[]; all: Container[]; onClose: () => void; onRemoved: () => void }) {
  const { t } = useTranslation()
  const bulk = useBulk()
  // What is left to remove: after a partial success the dialog stays with those that were refused.
  const [left, setLeft] = useState(chosen)
  const [refused, setRefused] = useState<Refusal[]>([])
  const { apps, replaced, running } = removal(left, all)
  const [first] = refused
  const one = left.length === 1
  const problem = first ? asProblem(first.error) : null
  return (
    <ConfirmDialog
      title={one ? t('containers.removeOne', { name: left[0]?.name ?? '' }) : t('containers.removeTitle', { count: left.length })}
      submit={one ? t('action.remove') : t('containers.removeSome', { count: left.length })}
      pending={bulk.isPending}
      problem={problem && first ? { message: refused.length > 1 ? `${first.container.name}: ${problem.message} (${t('containers.someRefused', { count: refused.length })})` : problem.message, code: problem.code, requestId: problem.requestId } : null}
      extra={<SameAs compact cli={commandLine('skerry', 'rm', running > 0 && '-f', ...left.map(({ name }) => name))} />}
      onClose={onClose}
      onSubmit={() =>
        bulk.mutate(
          { containers: left, action: 'remove' },
          {
            onSuccess: (failed) => {
              setRefused(failed)
              setLeft(failed.map(({ container }) => container))
              if (failed.length > 0) return
              onClose()
              onRemoved()
            },
          },
        )
      }
    >
      {running > 0 && <p>{one ? t('containers.removeRuns') : t('containers.removeRunning', { count: running })}</p>}
      <p>{t('containers.removeLayer', { count: left.length })}</p>
      {replaced > 0 && <p>{t('containers.removeReplaced', { count: replaced })}</p>}
      {apps.length > 0 && <p>{t('containers.removeApps', { count: apps.length, names: apps.slice(0, 6).join(', ') + (apps.length > 6 ? ' …' : '') })}</p>}
      <p className="sk-muted">{t('containers.removeVolumes')}</p>
    </ConfirmDialog>
  )
}
