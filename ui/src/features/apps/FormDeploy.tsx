import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Form, Select } from 'antd'
import { useEffect, useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate } from 'react-router'
import type { App, AppInput } from '@/api/model'
import { asProblem } from '@/api/problem'
import { appsQuery, clusterQuery, environmentsQuery } from '@/api/queries'
import { useScopeEnvironment } from '@/api/scope'
import { curl } from '@/shared/lib/shell'
import { Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAsPanel } from '@/shared/ui/SameAs'
import { Steps } from '@/shared/ui/Steps'
import { composeOf } from './compose'
import { defaults, deployInput, equivalents, formField, inputsOf, namePattern, serviceOf, updateCommand, valuesOf, type DeployValues } from './deploy'
import { usePlan } from './plan'
import { PlanPanel, PlanView } from './PlanView'
import { useDeploy } from './queries'
import { ServiceFields } from './ServiceFields'

/** Makes an app of one service, or changes one service of an app, by form. */
export function FormDeploy({ app, image, onValues }: { app?: App; image?: string; onValues?: (input: AppInput | null) => void }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const { modal } = AntApp.useApp()
  // What was there when the form was opened: another's change meanwhile is refused, not overwritten.
  const [present] = useState(app)
  const names = Object.keys(present?.spec.services ?? {}).sort()
  const [chosen, setChosen] = useState(names[0] ?? '')
  const base = present?.spec.services[chosen]
  const [form] = Form.useForm<DeployValues>()
  const values: DeployValues = Form.useWatch([], form) ?? {}
  const apps = useQuery(appsQuery)
  const cluster = useQuery(clusterQuery)
  const environment = useScopeEnvironment()
  const environments = useQuery(environmentsQuery)
  const taken = useMemo(() => (present ? [] : (apps.data?.items.map(({ name }) => name) ?? [])), [apps.data, present])
  const range = cluster.data ? `${cluster.data.portMin}-${cluster.data.portMax}` : ''
  const { deploy, steps } = useDeploy(present)

  const inputFrom = (given: DeployValues): AppInput => {
    if (!present || !base) {
      const input = deployInput(given)
      const place = environments.data?.items.find(({ id }) => id === environment)
      return place ? { ...input, environment: place.name } : input
    }
    const services = { ...inputsOf(present.spec.services), [chosen]: serviceOf(given, base) }
    // The text and what is in force must say the same: it is written anew.
    return { name: present.name, services, ...(present.spec.source ? { source: composeOf(present.name, services) } : {}) }
  }
  const ready = Boolean(values.image?.trim()) && (present !== undefined || (namePattern.test(values.name ?? '') && !taken.includes(values.name ?? '')))
  const input = ready ? inputFrom(values) : null
  const planned = usePlan(input)
  const told = input ? JSON.stringify(input) : ''
  useEffect(() => {
    onValues?.(told ? (JSON.parse(told) as AppInput) : null)
  }, [told, onValues])

  const problem = deploy.isError && !(deploy.error instanceof DOMException) ? asProblem(deploy.error) : null
  useEffect(() => {
    const field = problem && formField(problem.field)
    if (field && field !== 'env' && field !== 'volumes') form.setFields([{ name: field, errors: [problem.message] }])
  }, [form, problem])

  const submit = (given: DeployValues) => {
    const go = () => deploy.mutate(inputFrom({ ...values, ...given }), { onSuccess: (made) => void navigate(`/apps/${encodeURIComponent(made.name)}`) })
    if (present && planned.plan && planned.current && planned.plan.services.some(({ action }) => action === 'remove' || action === 'replace')) {
      void modal.confirm({ title: t('plan.confirm', { name: present.name }), content: <PlanView plan={planned.plan} />, okText: t('deploy.submit'), cancelText: t('action.cancel'), width: 560, icon: null, onOk: go })
    } else go()
  }

  const same =
    present && base
      ? {
          cli: updateCommand(`${present.name}.${chosen}`, serviceOf(values, base)),
          api: curl({ method: 'PUT', path: `/apps/${encodeURIComponent(present.name)}`, json: { services: inputFrom(values).services } }),
          compose: composeOf(present.name, inputFrom(values).services ?? {}),
        }
      : equivalents({ ...values, name: values.name || 'app', image: values.image?.trim() || 'IMAGE' }, location.origin)
  return (
    <>
      {problem && <ProblemAlert problem={problem} />}
      <div className="sk-form">
        <Section>
          {names.length > 1 && (
            <div className="sk-form-service">
              <label htmlFor="service">{t('deploy2.service')}</label>
              <Select id="service" value={chosen} disabled={deploy.isPending} onChange={setChosen} options={names.map((name) => ({ value: name, label: name }))} style={{ minWidth: 200 }} />
            </div>
          )}
          <Form
            key={chosen}
            form={form}
            layout="vertical"
            requiredMark={false}
            scrollToFirstError
            preserve={false}
            initialValues={base ? valuesOf(chosen, base) : { image: image ?? '', ...defaults }}
            disabled={deploy.isPending}
            onFinish={submit}
          >
            <ServiceFields form={form} image={values.image?.trim() ?? ''} range={range} taken={taken} fixedName={present !== undefined} />
            <div className="sk-form-foot">
              <Button type="primary" htmlType="submit" loading={deploy.isPending}>
                {t('deploy.submit')}
              </Button>
              <Link to={present ? `/apps/${encodeURIComponent(present.name)}` : '/apps'}>
                <Button type="text">{t('action.cancel')}</Button>
              </Link>
            </div>
          </Form>
        </Section>
        <div>
          {deploy.isPending || (steps.length > 0 && deploy.isError) ? (
            <Section title={t('deploy.steps')}>
              <Steps steps={steps} />
              {deploy.isPending && <p className="sk-muted sk-form-hint">{t('deploy2.leave')}</p>}
            </Section>
          ) : (
            <Section title={t('deploy.plan')}>
              <PlanPanel of={planned} empty={t('deploy.planEmpty')} />
              {input && values.port && !present ? (
                <p className="sk-form-hint">{values.hostPort ? t('deploy.planPort', { host: values.hostPort, port: values.port }) : t('deploy.planPortAuto', { range, port: values.port })}</p>
              ) : null}
              {present?.spec.source && <p className="sk-muted sk-form-hint">{t('deploy2.rewritten')}</p>}
            </Section>
          )}
          <Section title={t('sameAs.title')}>
            <SameAsPanel {...same} />
          </Section>
        </div>
      </div>
    </>
  )
}
