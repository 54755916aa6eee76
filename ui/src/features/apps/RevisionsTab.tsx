import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Modal, Select } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useSearchParams } from 'react-router'
import type { App, AppInput, Revision } from '@/api/model'
import { useMay } from '@/api/may'
import { asProblem } from '@/api/problem'
import { commandLine, curl } from '@/shared/lib/shell'
import { DiffView } from '@/shared/ui/DiffView'
import { Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAsPanel } from '@/shared/ui/SameAs'
import { Time } from '@/shared/ui/Time'
import { composeOf } from './compose'
import { inputsOf } from './deploy'
import { usePlan } from './plan'
import { PlanPanel } from './PlanView'
import { revisionsQuery, useRollback } from './queries'

/** What a revision put in force, as compose text: two revisions are compared in one form, however each was made. */
const textOf = (app: App, { spec }: Revision) => composeOf(app.name, spec.services)

/** The history of an app: each revision, what it changed, and the way back to it. */
export function RevisionsTab({ app }: { app: App }) {
  const { t } = useTranslation()
  const may = useMay()
  const [search, setSearch] = useSearchParams()
  const revisions = useQuery(revisionsQuery(app))
  const [back, setBack] = useState<Revision | null>(null)
  if (revisions.isError) return <ProblemAlert problem={asProblem(revisions.error)} retry={() => void revisions.refetch()} />
  const list = revisions.data?.items ?? []
  const shown = list.find(({ number }) => String(number) === search.get('revision')) ?? list[0]
  const other = list.find(({ number }) => String(number) === search.get('against')) ?? list[list.findIndex((each) => each === shown) + 1]
  const set = (name: string, value: number) =>
    setSearch(
      (old) => {
        old.set(name, String(value))
        if (name === 'revision') old.delete('against')
        return old
      },
      { replace: true },
    )
  return (
    <div className="sk-revisions">
      <Section title={t('revision.title')} flush>
        <ul className="sk-revision-list">
          {list.map((revision) => (
            <li key={revision.number} className={revision === shown ? 'sk-revision-shown' : undefined}>
              <button type="button" className="sk-revision-pick" aria-pressed={revision === shown} onClick={() => set('revision', revision.number)}>
                <strong>{t('app.revision', { number: revision.number })}</strong>
                {revision.number === app.revision && <span className="sk-tag">{t('revision.present')}</span>}
                <span className="sk-muted sk-revision-who">
                  {revision.actor} · <Time at={revision.createdAt} />
                </span>
                <span className="sk-muted">
                  {Object.entries(revision.spec.services)
                    .map(([name, { replicas }]) => `${name} ×${replicas}`)
                    .join(', ')}
                </span>
              </button>
              {revision.number !== app.revision && may('app.write') && (
                <Button size="small" onClick={() => setBack(revision)}>
                  {t('revision.back', { number: revision.number })}
                </Button>
              )}
            </li>
          ))}
        </ul>
      </Section>
      {shown && (
        <Section
          title={other ? t('revision.changes', { number: shown.number }) : t('revision.first', { number: shown.number })}
          extra={
            list.length > 1 && (
              <label>
                {t('revision.against')}{' '}
                <Select
                  size="small"
                  style={{ minWidth: 120 }}
                  aria-label={t('revision.against')}
                  value={other?.number}
                  onChange={(number) => set('against', number)}
                  options={list.filter((each) => each !== shown).map(({ number }) => ({ value: number, label: t('app.revision', { number }) }))}
                />
              </label>
            )
          }
        >
          <DiffView before={other ? textOf(app, other) : ''} after={textOf(app, shown)} label={t('revision.changes', { number: shown.number })} />
        </Section>
      )}
      {back && <RollbackDialog app={app} to={back} onClose={() => setBack(null)} />}
    </div>
  )
}

/** Says what going back will do before it is done. */
function RollbackDialog({ app, to, onClose }: { app: App; to: Revision; onClose: () => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const rollback = useRollback(app)
  const [input] = useState<AppInput>(() => ({ name: app.name, services: inputsOf(to.spec.services) }))
  const plan = usePlan(input)
  return (
    <Modal
      open
      width={600}
      title={t('revision.backTitle', { name: app.name, number: to.number })}
      okText={t('revision.submit')}
      cancelText={t('action.cancel')}
      confirmLoading={rollback.isPending}
      onCancel={onClose}
      onOk={() =>
        rollback.mutate(to.number, {
          onSuccess: () => {
            message.success(t('revision.done', { number: to.number }))
            onClose()
          },
        })
      }
    >
      {rollback.isError && <ProblemAlert problem={asProblem(rollback.error)} />}
      <div className="sk-stack">
        <p className="sk-muted">{t('revision.asNew', { number: app.revision + 1 })}</p>
        <PlanPanel of={plan} empty={t('plan.working')} />
        <SameAsPanel
          cli={commandLine('skerry', 'app', 'rollback', '--to', to.number, app.name)}
          api={curl({ method: 'POST', path: `/apps/${encodeURIComponent(app.name)}/rollback`, json: { revision: to.number } })}
          compose={to.spec.source || textOf(app, to)}
        />
      </div>
    </Modal>
  )
}
