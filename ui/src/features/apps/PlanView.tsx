import { useTranslation } from 'react-i18next'
import type { AppPlan, PlanField, PlanService } from '@/api/model'
import { asProblem } from '@/api/problem'
import { formatBytes, formatCores } from '@/shared/lib/format'
import { shortImage } from '@/shared/lib/image'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { countPlan, type usePlan } from './plan'

/** What deploying will do, in words and numbers, service by service. */
export function PlanPanel({ of, empty }: { of: ReturnType<typeof usePlan>; empty: string }) {
  const { t } = useTranslation()
  if (of.error) return <ProblemAlert problem={asProblem(of.error)} />
  if (!of.plan) return <p className="sk-muted">{empty}</p>
  return (
    <div aria-busy={!of.current} className={of.current ? undefined : 'sk-stale'} role="status">
      <PlanView plan={of.plan} />
      {!of.current && <span className="sk-visually-hidden">{t('plan.working')}</span>}
    </div>
  )
}

export function PlanView({ plan }: { plan: AppPlan }) {
  const { t } = useTranslation()
  const { created, replaced, removed } = countPlan(plan)
  const numbers = [
    created > 0 && t('plan.created', { count: created }),
    replaced > 0 && t('plan.replaced', { count: replaced }),
    removed > 0 && t('plan.removed', { count: removed }),
  ].filter(Boolean)
  return (
    <div className="sk-stack">
      <p>
        <strong>{t(`plan.app.${plan.action}`, { name: plan.name })}</strong> {numbers.length > 0 ? t('plan.sum', { numbers: numbers.join(t('plan.comma')) }) : t('plan.noContainers')}
      </p>
      <ul className="sk-plan-list">
        {plan.services.map((service) => (
          <PlanLine key={service.name} service={service} />
        ))}
      </ul>
      {plan.volumesCreated && plan.volumesCreated.length > 0 && <p>{t('plan.volumes', { count: plan.volumesCreated.length, names: plan.volumesCreated.join(', ') })}</p>}
      {plan.volumesUnused && plan.volumesUnused.length > 0 && <p>{t('plan.unused', { count: plan.volumesUnused.length, names: plan.volumesUnused.join(', ') })}</p>}
      {plan.problems?.map((remark) => (
        <p key={remark.message} className="sk-muted">
          {remark.line ? t('plan.remark', { line: remark.line, message: remark.message }) : remark.message}
        </p>
      ))}
    </div>
  )
}

const signs = { create: '+', update: '~', replace: '↻', keep: '=', remove: '−' } as const

function PlanLine({ service }: { service: PlanService }) {
  const { t } = useTranslation()
  const { name, action, containersBefore: before, containersAfter: after, containersReplaced: replaced, imageToFetch, fields = [] } = service
  const sentence =
    action === 'create'
      ? t('plan.service.create', { count: after })
      : action === 'remove'
        ? t('plan.service.remove', { count: before })
        : action === 'replace'
          ? t('plan.service.replace', { count: Math.max(replaced, 1) })
          : action === 'keep'
            ? t('plan.service.keep', { count: before })
            : t('plan.service.update')
  return (
    <li className={`sk-plan-${action}`}>
      <span className="sk-plan-sign" aria-hidden>
        {signs[action]}
      </span>
      <div>
        <strong>{name}</strong>
        {t('plan.colon')}
        {sentence}
        {(action === 'update' || action === 'replace') && before !== after && <> {t('plan.scale', { before, after })}</>}
        {imageToFetch && <div className="sk-muted">{t('plan.fetch', { image: shortImage(imageToFetch) })}</div>}
        {action !== 'create' && fields.length > 0 && (
          <ul className="sk-plan-fields">
            {fields.slice(0, 12).map((field) => (
              <li key={field.path}>
                <Field field={field} />
              </li>
            ))}
            {fields.length > 12 && <li className="sk-muted">{t('plan.more', { count: fields.length - 12 })}</li>}
          </ul>
        )}
      </div>
    </li>
  )
}

function Field({ field: { path, before, after } }: { field: PlanField }) {
  const { t } = useTranslation()
  return (
    <>
      <code>{path.replace(/^container\./, '')}</code>{' '}
      {before === undefined || before === '' ? t('plan.set', { after: shown(path, after) }) : after === undefined || after === '' ? t('plan.unset', { before: shown(path, before) }) : t('plan.change', { before: shown(path, before), after: shown(path, after) })}
    </>
  )
}

/** Bytes and cores with their unit; a long value cut. */
export function shown(path: string, value = ''): string {
  if (/Bytes$/.test(path) && /^\d+$/.test(value)) return formatBytes(Number(value))
  if (/cpuMillis$/.test(path) && /^\d+$/.test(value)) return formatCores(Number(value) / 1000)
  if (/imageDigest$/.test(path)) return value.replace(/^(sha256:)?(.{12}).*$/, '$2')
  return value.length > 80 ? `${value.slice(0, 79)}…` : value
}
