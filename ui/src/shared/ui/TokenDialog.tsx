import { Form, Input, InputNumber, Modal, Select, Button } from 'antd'
import { useTranslation } from 'react-i18next'
import { commandLine, curl } from '../lib/shell'
import './artifacts.css'
import { CodeLines } from './CodeLines'
import { CopyButton } from './CopyButton'
import { ProblemAlert, type ProblemLike } from './ProblemAlert'
import { FoldedSameAs } from './FoldedSameAs'

/** The roles that a token may have; it never does more than the person whose it is. */
export const tokenRoles = ['admin', 'auditor', 'owner', 'developer', 'viewer'] as const
export type TokenRole = (typeof tokenRoles)[number]

export interface TokenWish {
  name: string
  role: TokenRole
  tenant?: string
  ttlSeconds: number
}

interface Values {
  name: string
  role: TokenRole
  tenant: string
  days?: number | null
}

/** Makes an API token; once it is made, shows its secret this one time with what to do with it. */
export function TokenDialog({
  roles,
  tenants,
  initial,
  pending,
  problem,
  secret,
  use,
  onSubmit,
  onClose,
}: {
  roles: readonly TokenRole[]
  tenants: { id: string; name: string }[]
  initial?: { name?: string; role?: TokenRole; tenant?: string }
  pending: boolean
  problem: ProblemLike | null
  /** The token, once it is made. */
  secret?: string
  /** Lines that use the token, shown beside it. */
  use?: (secret: string) => string[]
  onSubmit: (wish: TokenWish) => void
  onClose: () => void
}) {
  const { t } = useTranslation()
  const [form] = Form.useForm<Values>()
  const values = Form.useWatch([], form) as Values | undefined
  if (secret) {
    const lines = use?.(secret) ?? []
    return (
      <Modal open title={t('token.made')} closable={false} keyboard={false} mask={{ closable: false }} onCancel={onClose} footer={<Button type="primary" onClick={onClose}>{t('token.kept')}</Button>}>
        <div className="sk-stack">
          <p>{t('token.once')}</p>
          <div className="sk-secret">
            <code>{secret}</code>
            <CopyButton text={secret} label={t('token.copy')} />
          </div>
          {lines.length > 0 && (
            <>
              <p>{t('token.use')}</p>
              <CodeLines lines={lines} label={t('token.use')} />
            </>
          )}
        </div>
      </Modal>
    )
  }
  const wish = (given: Values): TokenWish => ({ name: given.name.trim(), role: given.role, tenant: given.tenant || undefined, ttlSeconds: (given.days ?? 0) * 86_400 })
  const shown = values?.name === undefined ? undefined : wish(values)
  return (
    <Modal open title={t('token.create')} okText={t('token.submit')} cancelText={t('action.cancel')} confirmLoading={pending} onCancel={onClose} onOk={() => form.submit()}>
      <ProblemAlert problem={problem} />
      <Form form={form} layout="vertical" requiredMark={false} disabled={pending} initialValues={{ name: initial?.name ?? '', role: initial?.role ?? (roles.includes('developer') ? 'developer' : roles.at(-1)), tenant: initial?.tenant ?? '', days: 90 }} onFinish={(given: Values) => onSubmit(wish(given))}>
        <Form.Item name="name" label={t('column.name')} extra={t('token.nameHelp')} rules={[{ required: true, whitespace: true, message: t('token.nameMissing') }, { pattern: /^[a-zA-Z0-9][a-zA-Z0-9 ._@-]{0,62}$/, message: t('token.nameRule') }]}>
          <Input autoFocus spellCheck={false} autoComplete="off" />
        </Form.Item>
        <Form.Item name="role" label={t('column.role')} extra={t(`token.role.${values?.role ?? 'developer'}`)}>
          <Select options={roles.map((role) => ({ value: role, label: t(`role.${role}`) }))} />
        </Form.Item>
        <div className="sk-row">
          <Form.Item name="tenant" label={t('token.tenant')}>
            <Select options={[{ value: '', label: t('token.everyTenant') }, ...tenants.map(({ id, name }) => ({ value: id, label: name }))]} />
          </Form.Item>
          <Form.Item name="days" label={t('token.days')} extra={t('token.daysHelp')}>
            <InputNumber min={1} max={3650} precision={0} placeholder={t('token.never')} style={{ width: '100%' }} />
          </Form.Item>
        </div>
      </Form>
      {shown && (
        <FoldedSameAs
          cli={commandLine('skerry', 'api-token', 'create', '--role', shown.role, ...(shown.ttlSeconds ? ['--ttl', `${shown.ttlSeconds / 86_400}d`] : []), ...(shown.tenant ? ['--tenant', tenants.find(({ id }) => id === shown.tenant)?.name ?? shown.tenant] : []), shown.name || 'NAME')}
          api={curl({ method: 'POST', path: '/api-tokens', json: { ...shown, name: shown.name || 'NAME' } })}
        />
      )}
    </Modal>
  )
}
