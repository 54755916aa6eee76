import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Form, Input, Modal, Select } from 'antd'
import { useTranslation } from 'react-i18next'
import type { User } from '@/api/model'
import { asProblem } from '@/api/problem'
import { tenantsQuery } from '@/api/registry'
import { commandLine, curl } from '@/shared/lib/shell'
import '@/shared/ui/artifacts.css'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { DeleteOutlined, PlusOutlined } from '@/shared/ui/icons'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { FoldedSameAs } from '@/shared/ui/FoldedSameAs'
import { SameAs } from '@/shared/ui/SameAs'
import { PasswordField } from './PasswordField'
import { useCreateUser, useDisableUser, useRemoveUser, useResetPassword, useUpdateUser } from './queries'
import { platformRoles, rolesOf, rowsOf, shortestPassword, tenantRoles, userName, type RoleRow } from './rules'

interface Values {
  name: string
  displayName: string
  password: string
  platformRole: '' | (typeof platformRoles)[number]
  tenants: RoleRow[]
}

export function CreateUserDialog({ onClose }: { onClose: () => void }) {
  const { message } = AntApp.useApp()
  const { t } = useTranslation()
  const create = useCreateUser()
  return (
    <Fields
      pending={create.isPending}
      error={create.isError ? create.error : null}
      onClose={onClose}
      onSubmit={(values) =>
        create.mutate(
          { name: values.name, password: values.password || undefined, spec: specOf(values) },
          {
            onSuccess: (made) => {
              message.success(t('user.created', { name: made.name }))
              onClose()
            },
          },
        )
      }
    />
  )
}

export function EditUserDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const update = useUpdateUser(user)
  return <Fields user={user} pending={update.isPending} error={update.isError ? update.error : null} onClose={onClose} onSubmit={(values) => update.mutate({ ...user.spec, ...specOf(values) }, { onSuccess: onClose })} />
}

function specOf(values: Values): User['spec'] {
  return { displayName: values.displayName.trim() || undefined, platformRole: values.platformRole || undefined, tenants: rolesOf(values.tenants) }
}

function Fields({ user, pending, error, onSubmit, onClose }: { user?: User; pending: boolean; error: unknown; onSubmit: (values: Values) => void; onClose: () => void }) {
  const { t } = useTranslation()
  const tenants = useQuery(tenantsQuery)
  const [form] = Form.useForm<Values>()
  const initial: Values = { name: '', displayName: user?.spec.displayName ?? '', password: '', platformRole: (user?.spec.platformRole as Values['platformRole'] | undefined) ?? '', tenants: rowsOf(user?.spec.tenants) }
  const values = { ...initial, ...(Form.useWatch([], form) as Partial<Values> | undefined) }
  const nameOf = (id: string) => tenants.data?.items.find((tenant) => tenant.id === id)?.name ?? id
  const members = Object.entries(rolesOf(values.tenants))
  return (
    <Modal open width={560} title={user ? t('user.editTitle', { name: user.name }) : t('user.createTitle')} okText={user ? t('edit.save') : t('user.create')} cancelText={t('action.cancel')} confirmLoading={pending} onCancel={onClose} onOk={() => form.submit()}>
      {error !== null && <ProblemAlert problem={asProblem(error)} />}
      <Form form={form} layout="vertical" requiredMark={false} disabled={pending} initialValues={initial} onFinish={(given: Values) => onSubmit({ ...initial, ...given, name: (given.name ?? '').trim() })}>
        {!user && (
          <Form.Item name="name" label={t('signIn.name')} rules={[{ required: true, whitespace: true, message: t('signIn.nameMissing') }, { pattern: userName, transform: (value: string) => value.trim(), message: t('user.nameRule') }]}>
            <Input autoFocus autoComplete="off" spellCheck={false} autoCapitalize="none" />
          </Form.Item>
        )}
        <Form.Item name="displayName" label={t('user.displayName')} rules={[{ max: 100, message: t('user.displayNameLong') }]}>
          <Input autoComplete="off" />
        </Form.Item>
        {!user && (
          <Form.Item name="password" label={t('signIn.password')} extra={t('user.passwordHelp')} rules={[{ min: shortestPassword, message: t('setup.passwordShort', { count: shortestPassword }) }]}>
            <PasswordField />
          </Form.Item>
        )}
        <Form.Item name="platformRole" label={t('user.platformRole')} extra={values.platformRole ? t(`roleHelp.${values.platformRole}`) : undefined}>
          <Select options={[{ value: '', label: t('user.noRole') }, ...platformRoles.map((role) => ({ value: role, label: t(`role.${role}`) }))]} />
        </Form.Item>
        <Form.Item label={t('user.tenantRoles')}>
          <Form.List name="tenants">
            {(fields, { add, remove }) => (
              <div className="sk-pairs">
                {fields.map((field, i) => (
                  <div key={field.key} className="sk-pair">
                    <Form.Item name={[field.name, 'tenant']} noStyle rules={[{ required: true, message: t('user.tenantMissing') }]}>
                      <Select
                        aria-label={t('user.tenantNumber', { number: i + 1 })}
                        placeholder={t('nav.tenant')}
                        options={(tenants.data?.items ?? []).map((tenant) => ({ value: tenant.id, label: tenant.spec.displayName || tenant.name, disabled: values.tenants.some((row, at) => at !== i && row?.tenant === tenant.id) }))}
                        showSearch={{ optionFilterProp: 'label' }}
                      />
                    </Form.Item>
                    <Form.Item name={[field.name, 'role']} noStyle>
                      <Select aria-label={t('user.roleNumber', { number: i + 1 })} options={tenantRoles.map((role) => ({ value: role, label: t(`role.${role}`) }))} />
                    </Form.Item>
                    <Button type="text" icon={<DeleteOutlined />} aria-label={t('action.removeRow')} onClick={() => remove(field.name)} />
                  </div>
                ))}
                <span>
                  <Button icon={<PlusOutlined />} onClick={() => add({ role: 'developer' })}>
                    {t('user.addTenant')}
                  </Button>
                </span>
              </div>
            )}
          </Form.List>
        </Form.Item>
      </Form>
      <FoldedSameAs
        cli={
          user
            ? undefined
            : commandLine('skerry', 'user', 'create', ...(values.displayName ? ['--display-name', values.displayName] : []), ...(values.platformRole ? ['--role', values.platformRole] : []), ...members.flatMap(([tenant, role]) => ['--member', `${nameOf(tenant)}=${role}`]), ...(values.password ? ['--password-file', '-'] : []), values.name || 'NAME')
        }
        api={user ? curl({ method: 'PUT', path: `/users/${encodeURIComponent(user.name)}`, json: { ...user.spec, ...specOf(values) } }) : curl({ method: 'POST', path: '/users', json: { name: values.name || 'NAME', ...(values.password ? { password: 'PASSWORD' } : {}), spec: specOf(values) } })}
      />
    </Modal>
  )
}

export function ResetPasswordDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const [form] = Form.useForm<{ password: string }>()
  const reset = useResetPassword(user)
  return (
    <Modal open title={t('user.resetTitle', { name: user.name })} okText={t('user.reset')} cancelText={t('action.cancel')} confirmLoading={reset.isPending} onCancel={onClose} onOk={() => form.submit()}>
      {reset.isError && <ProblemAlert problem={asProblem(reset.error)} />}
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        disabled={reset.isPending}
        onFinish={({ password }) =>
          reset.mutate(password, {
            onSuccess: () => {
              message.success(t('user.wasReset', { name: user.name }))
              onClose()
            },
          })
        }
      >
        <Form.Item
          name="password"
          label={t('password.new')}
          extra={t('user.resetConsequence', { count: user.status.sessions })}
          rules={[
            { required: true, message: t('signIn.passwordMissing') },
            { min: shortestPassword, message: t('setup.passwordShort', { count: shortestPassword }) },
          ]}
        >
          <PasswordField />
        </Form.Item>
      </Form>
      <FoldedSameAs cli={commandLine('skerry', 'user', 'reset-password', user.name)} api={curl({ method: 'PUT', path: `/users/${encodeURIComponent(user.name)}/password`, json: { password: 'PASSWORD' } })} />
    </Modal>
  )
}

/** Locks a user out: everything that he began goes on, he does not. */
export function DisableUserDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const { t } = useTranslation()
  const disable = useDisableUser(user)
  return (
    <ConfirmDialog
      title={t('user.disableTitle', { name: user.name })}
      submit={t('user.disable')}
      pending={disable.isPending}
      problem={disable.isError ? asProblem(disable.error) : null}
      extra={<SameAs compact cli={commandLine('skerry', 'user', 'disable', user.name)} api={curl({ method: 'POST', path: `/users/${encodeURIComponent(user.name)}/disable` })} />}
      onClose={onClose}
      onSubmit={() => disable.mutate(true, { onSuccess: onClose })}
    >
      <p>{t('user.disableConsequence', { count: user.status.sessions })}</p>
    </ConfirmDialog>
  )
}

export function RemoveUserDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const { t } = useTranslation()
  const remove = useRemoveUser(user)
  return (
    <ConfirmDialog
      title={t('images.removeTitle', { name: user.name })}
      submit={t('action.remove')}
      pending={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
      extra={<SameAs compact api={curl({ method: 'DELETE', path: `/users/${encodeURIComponent(user.name)}` })} />}
      onClose={onClose}
      onSubmit={() => remove.mutate(undefined, { onSuccess: onClose })}
    >
      <p>{t('user.removeConsequence', { count: user.status.sessions })}</p>
    </ConfirmDialog>
  )
}
