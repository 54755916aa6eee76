import { DeleteOutlined, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { AutoComplete, Button, Collapse, Form, Input, InputNumber, Select, Space } from 'antd'
import { useEffect, useMemo, useRef } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useNavigate, useSearchParams } from 'react-router'
import { asProblem } from '@/api/problem'
import { appsQuery, clusterQuery, imageQuery, imagesQuery } from '@/api/queries'
import { shortImage, suggestName } from '@/shared/lib/image'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAsPanel } from '@/shared/ui/SameAs'
import { Steps } from '@/shared/ui/Steps'
import { defaults, deployInput, equivalents, formField, namePattern, type DeployValues } from './deploy'
import { useDeploy } from './queries'

export default function DeployPage() {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const [search] = useSearchParams()
  const [form] = Form.useForm<DeployValues>()
  const values: DeployValues = Form.useWatch([], form) ?? {}
  const images = useQuery(imagesQuery)
  const apps = useQuery(appsQuery)
  const cluster = useQuery(clusterQuery)
  const { deploy, steps } = useDeploy()
  const image = values.image?.trim() ?? ''
  const options = useImageOptions(images.data?.items.map(({ name }) => name), t('deploy.builtIn'))
  const taken = useMemo(() => apps.data?.items.map(({ name }) => name) ?? [], [apps.data])
  const suggestion = suggestName(image, taken)
  const touched = useRef({ name: false, port: false })

  // The name follows the image until the person writes one; so does the port, from what the image says it listens on.
  useEffect(() => {
    if (!touched.current.name) form.setFieldValue('name', suggestion)
  }, [form, suggestion])
  const known = images.data?.items.find(({ name }) => shortImage(name) === shortImage(image) || shortImage(name) === `${shortImage(image)}:latest`)
  const detail = useQuery({ ...imageQuery(known?.name ?? ''), enabled: known !== undefined })
  const exposed = detail.data?.config?.exposedPorts?.map((port) => port.split('/')).find(([, protocol]) => protocol !== 'udp')?.[0]
  useEffect(() => {
    if (!touched.current.port && exposed) form.setFieldValue('port', Number(exposed))
  }, [form, exposed])

  const problem = deploy.isError ? asProblem(deploy.error) : null
  useEffect(() => {
    const field = problem && formField(problem.field)
    if (field && field !== 'env' && field !== 'volumes') form.setFields([{ name: field, errors: [problem.message] }])
  }, [form, problem])

  const submit = (given: DeployValues) =>
    deploy.mutate(deployInput({ ...values, ...given }), { onSuccess: (app) => void navigate(`/apps/${encodeURIComponent(app.name)}`) })

  const range = cluster.data ? `${cluster.data.portMin}-${cluster.data.portMax}` : ''
  return (
    <Page title={t('deploy.title')} plainTitle={t('deploy.title')} back={<Link to="/apps">{t('nav.apps')}</Link>}>
      {problem && <ProblemAlert problem={problem} />}
      <div className="sk-form">
        <Section>
          <Form
            form={form}
            layout="vertical"
            requiredMark={false}
            scrollToFirstError
            initialValues={{ image: search.get('image') ?? '', ...defaults }}
            disabled={deploy.isPending}
            onFinish={submit}
          >
            <Form.Item name="image" label={t('deploy.image')} extra={t('deploy.imageHelp')} rules={[{ required: true, whitespace: true, message: t('deploy.imageMissing') }]}>
              <AutoComplete
                autoFocus
                popupRender={(list) => <div ref={(popup) => popup?.querySelector('[role=listbox]')?.setAttribute('aria-label', t('deploy.imagesHere'))}>{list}</div>}
                options={options} allowClear showSearch={{ filterOption: (input, option) => String(option?.value ?? '').includes(input.trim()) }} placeholder="library/welcome:latest" />
            </Form.Item>
            <div className="sk-row">
              <Form.Item name="port" label={t('deploy.port')} extra={t('deploy.portHelp')}>
                <InputNumber min={1} max={65535} precision={0} style={{ width: '100%' }} placeholder="80" onChange={() => (touched.current.port = true)} />
              </Form.Item>
              <Form.Item
                name="name"
                label={t('deploy.name')}
                extra={t('deploy.nameHelp')}
                validateFirst
                rules={[
                  { required: true, message: t('deploy.nameMissing') },
                  { pattern: namePattern, message: t('deploy.nameRule') },
                  { validator: (_, value: string) => (taken.includes(value) ? Promise.reject(new Error(t('deploy.nameTaken', { name: value }))) : Promise.resolve()) },
                ]}
              >
                <Input spellCheck={false} autoComplete="off" onChange={(event) => (touched.current.name = event.target.value !== '')} />
              </Form.Item>
            </div>
            <Collapse
              ghost
              size="small"
              style={{ marginInline: -12, marginBottom: 12 }}
              items={[{ key: 'more', label: t('deploy.more'), forceRender: true, children: <More range={range} /> }]}
            />
            <div className="sk-form-foot">
              <Button type="primary" htmlType="submit" loading={deploy.isPending}>
                {t('deploy.submit')}
              </Button>
              <Link to="/apps">
                <Button type="text">{t('action.cancel')}</Button>
              </Link>
            </div>
          </Form>
        </Section>
        <div>
          {deploy.isPending || steps.length > 0 ? (
            <Section title={t('deploy.steps')}>
              <Steps steps={steps} />
            </Section>
          ) : (
            <Section title={t('deploy.plan')}>
              <Plan values={values} range={range} />
            </Section>
          )}
          <Section title={t('sameAs.title')}>
            <SameAsPanel {...equivalents({ ...values, name: values.name || 'app', image: image || 'IMAGE' }, location.origin)} />
          </Section>
        </div>
      </div>
    </Page>
  )
}

/** The images that are here; the built-in one stands first, because a host without Internet has it. */
function useImageOptions(names: string[] | undefined, builtIn: string) {
  return useMemo(() => {
    const welcome = (name: string) => /(^|\/)library\/welcome(:|$)/.test(name)
    return [...(names ?? [])]
      .sort((a, b) => Number(welcome(b)) - Number(welcome(a)) || a.localeCompare(b))
      .map((name) => ({ value: name, label: welcome(name) ? `${name} (${builtIn})` : name }))
  }, [names, builtIn])
}

/** What the button will do, in numbers. */
function Plan({ values, range }: { values: DeployValues; range: string }) {
  const { t } = useTranslation()
  if (!values.image?.trim()) return <p className="sk-muted">{t('deploy.planEmpty')}</p>
  const volumes = (values.volumes ?? []).filter((volume) => volume?.name && volume.path).length
  return (
    <ul className="sk-plan">
      <li>{t('deploy.planApp', { name: values.name || '…' })}</li>
      <li>{t('deploy.planContainers', { count: values.replicas ?? 1, image: values.image.trim() })}</li>
      {values.port ? (
        <li>{values.hostPort ? t('deploy.planPort', { host: values.hostPort, port: values.port }) : t('deploy.planPortAuto', { range, port: values.port })}</li>
      ) : (
        <li>{t('deploy.planNoPort')}</li>
      )}
      {volumes > 0 && <li>{t('deploy.planVolumes', { count: volumes })}</li>}
    </ul>
  )
}

function More({ range }: { range: string }) {
  const { t } = useTranslation()
  return (
    <>
      <div className="sk-row">
        <Form.Item name="hostPort" label={t('deploy.hostPort')} extra={t('deploy.hostPortHelp', { range })}>
          <InputNumber min={1} max={65535} precision={0} style={{ width: '100%' }} placeholder={t('deploy.automatic')} />
        </Form.Item>
        <Form.Item name="protocol" label={t('deploy.protocol')}>
          <Select options={[{ value: 'tcp', label: 'TCP' }, { value: 'udp', label: 'UDP' }]} />
        </Form.Item>
        <Form.Item name="replicas" label={t('column.replicas')}>
          <InputNumber min={0} max={1000} precision={0} style={{ width: '100%' }} />
        </Form.Item>
      </div>
      <div className="sk-row">
        <Form.Item name="cpus" label={t('deploy.cpus')}>
          <InputNumber min={0.01} step={0.25} style={{ width: '100%' }} placeholder={t('deploy.noLimit')} suffix={t('deploy.cores')} />
        </Form.Item>
        <Form.Item name="memoryMiB" label={t('deploy.memory')}>
          <InputNumber min={6} step={64} precision={0} style={{ width: '100%' }} placeholder={t('deploy.noLimit')} suffix="MiB" />
        </Form.Item>
        <Form.Item name="restart" label={t('deploy.restart')}>
          <Select
            options={[
              { value: 'always', label: t('deploy.restartAlways') },
              { value: 'on-failure', label: t('deploy.restartOnFailure') },
              { value: 'no', label: t('deploy.restartNo') },
            ]}
          />
        </Form.Item>
      </div>
      <Pairs name="env" label={t('deploy.env')} add={t('deploy.envAdd')} left={['name', t('deploy.envName')]} right={['value', t('deploy.envValue')]} />
      <Pairs name="volumes" label={t('deploy.volumes')} add={t('deploy.volumeAdd')} left={['name', t('deploy.volumeName')]} right={['path', t('deploy.volumePath')]} />
      <div className="sk-row">
        <Form.Item name="command" label={t('deploy.command')} extra={t('deploy.commandHelp')}>
          <Input spellCheck={false} placeholder={t('deploy.fromImage')} />
        </Form.Item>
        <Form.Item name="user" label={t('deploy.user')}>
          <Input spellCheck={false} placeholder={t('deploy.fromImage')} />
        </Form.Item>
      </div>
    </>
  )
}

/** A list of pairs of texts, such as environment variables. */
function Pairs({ name, label, add, left, right }: { name: string; label: string; add: string; left: [string, string]; right: [string, string] }) {
  const { t } = useTranslation()
  return (
    <Form.Item label={label}>
      <Form.List name={name}>
        {(fields, { add: append, remove }) => (
          <div className="sk-pairs">
            {fields.map((field, i) => (
              <div key={field.key} className="sk-pair">
                {[left, right].map(([part, caption]) => (
                  <Form.Item key={part} name={[field.name, part]} noStyle>
                    <Input spellCheck={false} aria-label={`${caption} ${i + 1}`} placeholder={caption} />
                  </Form.Item>
                ))}
                <Button type="text" icon={<DeleteOutlined />} aria-label={`${t('action.removeRow')} ${i + 1}`} onClick={() => remove(field.name)} />
              </div>
            ))}
            <Space>
              <Button size="small" icon={<PlusOutlined />} onClick={() => append({})}>
                {add}
              </Button>
            </Space>
          </div>
        )}
      </Form.List>
    </Form.Item>
  )
}
