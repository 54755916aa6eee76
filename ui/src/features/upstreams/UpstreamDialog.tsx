import { useQuery } from '@tanstack/react-query'
import { Button, Checkbox, Collapse, Form, Input, Modal, Select, Switch } from 'antd'
import { useTranslation } from 'react-i18next'
import type { Upstream } from '@/api/model'
import { asProblem } from '@/api/problem'
import { tenantsQuery } from '@/api/registry'
import { commandLine, curl } from '@/shared/lib/shell'
import '@/shared/ui/artifacts.css'
import { DeleteOutlined, PlusOutlined } from '@/shared/ui/icons'
import { PemField } from '@/shared/ui/PemField'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAsPanel } from '@/shared/ui/SameAs'
import { hostName, isBaseUrl, moved, valuesOf, wishOf, type UpstreamValues } from './form'
import { useSaveUpstream } from './queries'

/** Adds an upstream or changes one. A password is never shown again: left empty, it stays. */
export function UpstreamDialog({ upstream, onClose, onSaved }: { upstream?: Upstream; onClose: () => void; onSaved: (saved: Upstream) => void }) {
  const { t } = useTranslation()
  const tenants = useQuery(tenantsQuery)
  const save = useSaveUpstream(upstream)
  const [form] = Form.useForm<UpstreamValues>()
  const initial = valuesOf(upstream)
  const values = { ...initial, ...(Form.useWatch([], form) as Partial<UpstreamValues> | undefined) }
  const wish = wishOf(values)
  const shown = { ...(upstream ? {} : { name: wish.name || 'docker.io' }), spec: wish.spec, ...(wish.password === undefined ? {} : { password: wish.password && 'PASSWORD' }) }
  const nameOf = (id: string) => tenants.data?.items.find((tenant) => tenant.id === id)?.name ?? id
  const { spec } = wish
  const each = (flag: string, list: string[] | undefined) => (list?.length ? list.flatMap((word) => [flag, word]) : upstream ? [flag, ''] : [])
  const cli = commandLine(
    'skerry', 'upstream', upstream ? 'set' : 'create',
    ...each('--endpoint', spec.endpoints),
    ...each('--user', spec.username ? [spec.username] : undefined),
    ...(wish.password ? ['--password-file', '-'] : []),
    ...(spec.ca ? ['--ca', 'ca.pem'] : each('--ca', undefined)),
    ...each('--proxy', spec.proxy ? [spec.proxy] : undefined),
    ...each('--for', spec.tenantIds?.map(nameOf)),
    ...(upstream ? [spec.disabled ? '--disable' : '--enable'] : []),
    upstream?.name ?? (wish.name || 'docker.io'),
  )
  return (
    <Modal
      open
      width={640}
      title={upstream ? t('upstream.editTitle', { name: upstream.name }) : t('upstream.createTitle')}
      okText={upstream ? t('edit.save') : t('upstream.create')}
      cancelText={t('action.cancel')}
      confirmLoading={save.isPending}
      onCancel={onClose}
      onOk={() => form.submit()}
    >
      {save.isError && <ProblemAlert problem={asProblem(save.error)} />}
      <Form form={form} layout="vertical" requiredMark={false} disabled={save.isPending} initialValues={initial} onFinish={() => save.mutate(wishOf({ ...initial, ...(form.getFieldsValue(true) as UpstreamValues) }), { onSuccess: onSaved })}>
        {!upstream && (
          <Form.Item name="name" label={t('upstream.host')} extra={t('upstream.hostHelp')} rules={[{ required: true, whitespace: true, message: t('upstream.hostMissing') }, { pattern: hostName, transform: (value: string) => value.trim(), message: t('upstream.hostRule') }]}>
            <Input autoFocus spellCheck={false} autoCapitalize="none" placeholder="docker.io" />
          </Form.Item>
        )}
        <Form.Item label={t('upstream.endpoints')} extra={t('upstream.endpointsHelp', { host: wish.name || upstream?.name || 'docker.io' })}>
          <Form.List name="endpoints">
            {(fields, { add, remove }) => (
              <>
                {fields.map((field, i) => (
                  <div key={field.key} className="sk-endpoint">
                    <span className="sk-muted sk-number">{i + 1}.</span>
                    <Form.Item
                      name={field.name}
                      noStyle
                      rules={[{ validator: (_, value: string) => (!value?.trim() || isBaseUrl(value.trim(), ['http', 'https']) ? Promise.resolve() : Promise.reject(new Error(t('upstream.endpointRule')))) }]}
                    >
                      <Input spellCheck={false} aria-label={t('upstream.endpointName', { number: i + 1 })} placeholder="https://mirror.example.com" />
                    </Form.Item>
                    <span className="sk-nowrap">
                      <Button type="text" aria-label={t('upstream.up', { number: i + 1 })} disabled={i === 0} onClick={() => form.setFieldValue('endpoints', moved(form.getFieldValue('endpoints') as string[], i, -1))}>
                        ↑
                      </Button>
                      <Button type="text" aria-label={t('upstream.down', { number: i + 1 })} disabled={i === fields.length - 1} onClick={() => form.setFieldValue('endpoints', moved(form.getFieldValue('endpoints') as string[], i, 1))}>
                        ↓
                      </Button>
                      <Button type="text" icon={<DeleteOutlined />} aria-label={t('upstream.removeEndpoint', { number: i + 1 })} onClick={() => remove(field.name)} />
                    </span>
                    <div className="sk-endpoint-problem">
                      <Form.Item shouldUpdate noStyle>
                        {() => <span role="alert">{form.getFieldError(['endpoints', field.name]).join(' ')}</span>}
                      </Form.Item>
                    </div>
                  </div>
                ))}
                <Button icon={<PlusOutlined />} onClick={() => add('')}>
                  {t('upstream.addEndpoint')}
                </Button>
              </>
            )}
          </Form.List>
        </Form.Item>
        <div className="sk-row">
          <Form.Item name="username" label={t('signIn.name')}>
            <Input autoComplete="off" spellCheck={false} autoCapitalize="none" />
          </Form.Item>
          <Form.Item name="password" label={t('signIn.password')} extra={upstream?.status.hasPassword ? t('upstream.passwordKept') : undefined}>
            <Input.Password autoComplete="new-password" placeholder={upstream?.status.hasPassword ? '••••••••' : undefined} disabled={save.isPending || values.forget} />
          </Form.Item>
        </div>
        {upstream?.status.hasPassword && (
          <Form.Item name="forget" valuePropName="checked">
            <Checkbox>{t('upstream.forget')}</Checkbox>
          </Form.Item>
        )}
        <Collapse
          ghost
          size="small"
          defaultActiveKey={initial.ca || initial.proxy || initial.tenantIds.length > 0 || initial.disabled ? ['more'] : []}
          items={[
            {
              key: 'more',
              label: t('deploy.more'),
              forceRender: true,
              children: (
                <>
                  <Form.Item name="tenantIds" label={t('upstream.tenants')} extra={t('upstream.tenantsHelp')}>
                    <Select mode="multiple" allowClear placeholder={t('upstream.allTenants')} options={(tenants.data?.items ?? []).map((tenant) => ({ value: tenant.id, label: tenant.spec.displayName || tenant.name }))} optionFilterProp="label" />
                  </Form.Item>
                  <Form.Item name="ca" label={t('upstream.ca')} extra={t('upstream.caHelp')}>
                    <PemField label={t('upstream.ca')} placeholder="-----BEGIN CERTIFICATE-----" rows={4} />
                  </Form.Item>
                  <Form.Item
                    name="proxy"
                    label={t('upstream.proxy')}
                    extra={t('upstream.proxyHelp')}
                    rules={[{ validator: (_, value: string) => (!value?.trim() || isBaseUrl(value.trim(), ['http', 'https', 'socks5']) ? Promise.resolve() : Promise.reject(new Error(t('upstream.proxyRule')))) }]}
                  >
                    <Input spellCheck={false} placeholder="http://proxy.example.com:3128" />
                  </Form.Item>
                  <Form.Item name="disabled" label={t('upstream.disabled')} valuePropName="checked" extra={t('upstream.disabledHelp')}>
                    <Switch />
                  </Form.Item>
                </>
              ),
            },
            {
              key: 'same',
              label: t('sameAs.title'),
              children: <SameAsPanel cli={cli} api={upstream ? curl({ method: 'PUT', path: `/upstreams/${encodeURIComponent(upstream.name)}`, json: shown }) : curl({ method: 'POST', path: '/upstreams', json: shown })} />,
            },
          ]}
        />
      </Form>
    </Modal>
  )
}
