import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Collapse, Form, Input } from 'antd'
import { useCallback, useEffect, useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate } from 'react-router'
import { answer, api } from '@/api/client'
import type { App, AppInput } from '@/api/model'
import { asProblem, type ApiProblem } from '@/api/problem'
import { appsQuery, environmentsQuery, imagesQuery } from '@/api/queries'
import { useScopeEnvironment } from '@/api/scope'
import { Editor, type Schema, type TextProblem } from '@/shared/editor'
import { suggestName } from '@/shared/lib/image'
import { commandLine, curl } from '@/shared/lib/shell'
import { DiffView } from '@/shared/ui/DiffView'
import { DeleteOutlined, UploadOutlined } from '@/shared/ui/icons'
import { Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAsPanel } from '@/shared/ui/SameAs'
import { Steps } from '@/shared/ui/Steps'
import { filesOf, readDotEnv, variablesOf } from './compose'
import { namePattern } from './deploy'
import { usePlan } from './plan'
import { PlanPanel, PlanView } from './PlanView'
import { composeSchemaQuery, useDeploy } from './queries'

/** What a new text begins with: the least that runs on a host without Internet. */
export const template = `services:
  web:
    image: library/welcome:latest
    ports:
      - "80"
`

/** The largest file that is sent along, in bytes (appliance/compose, MaxFile). */
const largestFile = 1 << 20

interface Sent {
  source: string
  name: string
  env: Record<string, string>
  files: Record<string, string>
}

/** What the server says of a text, asked anew shortly after the person stops typing. */
function useCheck(sent: Sent) {
  const body = JSON.stringify(sent)
  const [settled, setSettled] = useState(body)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(body), 350)
    return () => clearTimeout(timer)
  }, [body])
  const check = useQuery({
    queryKey: ['compose-parse', settled],
    queryFn: async ({ signal }) => {
      const { data, error, response } = await api.POST('/compose/parse', { body: JSON.parse(settled) as Sent, signal })
      if (data) return { problems: data.problems.map((problem): TextProblem => ({ ...problem, severity: 'warning' })), parsed: data }
      const problems = (error as { problems?: TextProblem[] } | undefined)?.problems
      if (problems) return { problems, parsed: null }
      // Not about the text: a lost session, no permission, no connection.
      return answer(Promise.resolve({ data, error, response })).then(() => ({ problems: [], parsed: null }))
    },
    enabled: sent.source.trim() !== '',
    retry: false,
    gcTime: 30_000,
  })
  return { ...check, current: settled === body && !check.isFetching }
}

/** Makes an app, or puts a new revision of one in force, by its compose text. */
export function ComposeDeploy({ app, source: begun }: { app?: App; source: string }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const { modal } = AntApp.useApp()
  const [present] = useState(app)
  const [first] = useState(begun)
  const [source, setSource] = useState(begun)
  const [named, setNamed] = useState('')
  const [dotEnv, setDotEnv] = useState('')
  const [files, setFiles] = useState<Record<string, string>>({})
  const images = useQuery(imagesQuery)
  const apps = useQuery(appsQuery)
  const schema = useQuery(composeSchemaQuery)
  const environment = useScopeEnvironment()
  const environments = useQuery(environmentsQuery)
  const env = useMemo(() => readDotEnv(dotEnv), [dotEnv])
  const check = useCheck({ source, name: present?.name ?? named, env, files })
  const parsed = check.data?.parsed
  const suggested = suggestName(Object.values(parsed?.services ?? {})[0]?.container.image ?? '', apps.data?.items.map((each) => each.name) ?? [])
  const name = present?.name ?? (named.trim() || parsed?.name || suggested)
  const taken = !present && (apps.data?.items.some((each) => each.name === name) ?? false)
  const nameFault = name !== '' && !namePattern.test(name) ? t('deploy.nameRule') : taken ? t('deploy.nameTaken', { name }) : ''
  const place = present ? undefined : environments.data?.items.find(({ id }) => id === environment)
  const input: AppInput = { name, source, ...(Object.keys(env).length > 0 ? { env } : {}), ...(Object.keys(files).length > 0 ? { files } : {}), ...(place ? { environment: place.name } : {}) }
  const fits = parsed !== null && parsed !== undefined && check.current && name !== '' && nameFault === ''
  const planned = usePlan(fits ? input : null)
  const { deploy, steps } = useDeploy(present)
  const names = images.data?.items.map((image) => image.name)
  const values = useCallback((path: string[]) => (path[0] === 'services' && path.at(-1) === 'image' ? (names ?? []) : path.at(-1) === 'restart' ? ['always', 'on-failure', 'unless-stopped', '"no"'] : []), [names])

  const problem = deploy.isError && !(deploy.error instanceof DOMException) ? asProblem(deploy.error) : check.isError ? asProblem(check.error) : null
  const problems = check.data?.problems
  const errors = problems?.filter(({ severity }) => severity !== 'warning') ?? []
  const unset = variablesOf(source).filter(({ name, fallback }) => fallback === undefined && !(name in env))
  const missing = filesOf(source).filter((file) => !(file in files) && !(file.replace(/^\.\//, '') in files))

  const submit = () => {
    const go = () => deploy.mutate(input, { onSuccess: (made) => void navigate(`/apps/${encodeURIComponent(made.name)}`) })
    if (present && planned.plan?.services.some(({ action }) => action === 'remove' || action === 'replace')) {
      void modal.confirm({ title: t('plan.confirm', { name: present.name }), content: <PlanView plan={planned.plan} />, okText: t('deploy.submit'), cancelText: t('action.cancel'), width: 560, icon: null, onOk: go })
    } else go()
  }
  return (
    <>
      {problem && <ProblemAlert problem={problem} />}
      <div className="sk-form sk-form-wide">
        <div>
          <Section flush>
            <Editor value={source} onChange={setSource} label={t('compose.text')} problems={problems} schema={schema.data as Schema | undefined} values={values} readOnly={deploy.isPending} minHeight="380px" />
            <div className="sk-editor-foot" role="status">
              {source.trim() === '' ? (
                t('compose.empty')
              ) : errors.length > 0 ? (
                <ul>
                  {errors.slice(0, 8).map((error) => (
                    <li key={`${error.line}-${error.message}`}>
                      {error.line ? <strong>{t('compose.line', { line: error.line })} </strong> : null}
                      {error.message}
                    </li>
                  ))}
                  {errors.length > 8 && <li>{t('plan.more', { count: errors.length - 8 })}</li>}
                </ul>
              ) : parsed ? (
                <span className="sk-muted">{t('compose.fits', { count: Object.keys(parsed.services).length })}</span>
              ) : (
                <span className="sk-muted">{t('compose.checking')}</span>
              )}
              <span className="sk-muted sk-hide-narrow">{t('compose.keys')}</span>
            </div>
          </Section>
          <Section>
            <Form layout="vertical" requiredMark={false} disabled={deploy.isPending} onFinish={submit}>
              {!present && (
                <Form.Item label={t('deploy.name')} htmlFor="compose-name" extra={t('compose.nameHelp')} validateStatus={nameFault ? 'error' : undefined} help={nameFault || undefined}>
                  <Input id="compose-name" value={named} onChange={(event) => setNamed(event.target.value)} placeholder={parsed?.name || suggested} spellCheck={false} autoComplete="off" />
                </Form.Item>
              )}
              <Collapse
                ghost
                size="small"
                style={{ marginInline: -12, marginBottom: 12 }}
                items={[
                  {
                    key: 'env',
                    label: unset.length > 0 ? t('compose.variablesMissing', { names: unset.map(({ name }) => name).join(', ') }) : t('compose.variables', { count: Object.keys(env).length }),
                    forceRender: true,
                    children: (
                      <>
                        <Editor value={dotEnv} onChange={setDotEnv} label={t('compose.dotEnv')} language="plain" minHeight="96px" maxHeight="240px" readOnly={deploy.isPending} />
                        <p className="sk-muted sk-form-hint">{t('compose.dotEnvHelp')}</p>
                      </>
                    ),
                  },
                  {
                    key: 'files',
                    label: missing.length > 0 ? t('compose.filesMissing', { names: missing.join(', ') }) : t('compose.files', { count: Object.keys(files).length }),
                    forceRender: true,
                    children: <Files files={files} onChange={setFiles} missing={missing} />,
                  },
                ]}
              />
              <div className="sk-form-foot">
                <Button type="primary" htmlType="submit" loading={deploy.isPending} disabled={!fits || planned.error !== null}>
                  {t('deploy.submit')}
                </Button>
                <Link to={present ? `/apps/${encodeURIComponent(present.name)}` : '/apps'}>
                  <Button type="text">{t('action.cancel')}</Button>
                </Link>
              </div>
            </Form>
          </Section>
        </div>
        <div>
          {deploy.isPending || (steps.length > 0 && deploy.isError) ? (
            <Section title={t('deploy.steps')}>
              <Steps steps={steps} />
              {deploy.isPending && <p className="sk-muted sk-form-hint">{t('deploy2.leave')}</p>}
            </Section>
          ) : (
            <Section title={t('deploy.plan')}>
              <PlanPanel of={planned} empty={errors.length > 0 ? t('compose.planFaults', { count: errors.length }) : name === '' ? t('compose.planName') : t('plan.working')} />
            </Section>
          )}
          {present && (
            <Section title={t('compose.diff', { number: present.revision })}>
              <DiffView before={first} after={source} label={t('compose.diff', { number: present.revision })} />
            </Section>
          )}
          <Section title={t('sameAs.title')}>
            <SameAsPanel
              cli={commandLine('skerry', 'app', 'deploy', '-f', 'compose.yaml', '-n', name || 'app')}
              api={curl(present ? { method: 'PUT', path: `/apps/${encodeURIComponent(present.name)}`, json: { source, env: input.env, files: input.files } } : { method: 'POST', path: '/apps', json: { ...input, name: name || 'app' } })}
              compose={source}
            />
          </Section>
        </div>
      </div>
    </>
  )
}

/** The files that the text names: taken from this computer, or written here. */
function Files({ files, onChange, missing }: { files: Record<string, string>; onChange: (files: Record<string, string>) => void; missing: string[] }) {
  const { t } = useTranslation()
  const [refused, setRefused] = useState<ApiProblem | null>(null)
  const add = async (chosen: FileList | null) => {
    const next = { ...files }
    setRefused(null)
    for (const file of chosen ?? []) {
      if (file.size > largestFile) setRefused(asProblem(new Error(t('compose.fileLarge', { name: file.name }))))
      // A file takes the place of the missing one that bears its name, in whatever folder the text looks for it.
      else next[missing.find((path) => path.split('/').pop() === file.name)?.replace(/^\.\//, '') ?? file.name] = await file.text()
    }
    onChange(next)
  }
  return (
    <div className="sk-pairs">
      <ProblemAlert problem={refused} />
      {Object.entries(files).map(([path, text]) => (
        <div key={path} className="sk-file">
          <code>{path}</code>
          <span className="sk-muted sk-number">{t('compose.fileLines', { count: text.split('\n').length })}</span>
          <Button
            type="text"
            icon={<DeleteOutlined />}
            aria-label={t('compose.fileRemove', { name: path })}
            onClick={() => onChange(Object.fromEntries(Object.entries(files).filter(([other]) => other !== path)))}
          />
        </div>
      ))}
      <label className="sk-file-add">
        <UploadOutlined /> {t('compose.fileAdd')}
        <input type="file" multiple className="sk-visually-hidden" onChange={(event) => void add(event.target.files).then(() => (event.target.value = ''))} />
      </label>
      <p className="sk-muted sk-form-hint">{t('compose.filesHelp')}</p>
    </div>
  )
}
