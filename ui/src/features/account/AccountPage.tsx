import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Form, Input, InputNumber, Modal, Select, Space, Table, type TableColumnsType } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { ApiToken } from '@/api/model'
import { asProblem } from '@/api/problem'
import { sessionQuery } from '@/api/queries'
import { CopyLine } from '@/shared/ui/CopyButton'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Time } from '@/shared/ui/Time'
import { tokensQuery, useChangePassword, useCreateToken, useRevokeToken } from './queries'

export default function AccountPage() {
  const { t } = useTranslation()
  const session = useQuery(sessionQuery)
  return (
    <Page title={t('person.account')} plainTitle={t('person.account')} beside={<span className="sk-muted">{session.data?.name}</span>}>
      <div className="sk-columns">
        <Tokens />
        <Password />
      </div>
    </Page>
  )
}

function Tokens() {
  const { t } = useTranslation()
  const { modal } = AntApp.useApp()
  const tokens = useQuery(tokensQuery)
  const revoke = useRevokeToken()
  const [making, setMaking] = useState(false)
  const columns: TableColumnsType<ApiToken> = [
    { key: 'name', title: t('column.name'), render: (_, token) => <span className="sk-name">{token.name}</span> },
    { key: 'role', title: t('column.role'), render: (_, token) => t(`role.${token.role}`) },
    { key: 'expires', title: t('column.expires'), render: (_, token) => (token.expired ? t('tokens.expired') : token.expiresAt ? <Time at={token.expiresAt} future /> : t('tokens.never')) },
    {
      key: 'actions',
      align: 'right',
      title: <span className="sk-visually-hidden">{t('column.actions')}</span>,
      render: (_, token) => (
        <Button
          size="small"
          aria-label={t('tokens.revokeName', { name: token.name })}
          onClick={() =>
            modal.confirm({
              title: t('tokens.revokeName', { name: token.name }),
              content: t('tokens.revokeConsequence'),
              okText: t('tokens.revoke'),
              cancelText: t('action.cancel'),
              okButtonProps: { danger: true },
              onOk: () => revoke.mutateAsync(token.id),
            })
          }
        >
          {t('tokens.revoke')}
        </Button>
      ),
    },
  ]
  return (
    <Section title={t('tokens.title')} extra={<Button size="small" onClick={() => setMaking(true)}>{t('tokens.create')}</Button>} flush>
      {tokens.isError && <ProblemAlert problem={asProblem(tokens.error)} />}
      {revoke.isError && <ProblemAlert problem={asProblem(revoke.error)} />}
      <Table rowKey="id" size="middle" columns={columns} dataSource={tokens.data?.items} loading={tokens.isPending} pagination={false} locale={{ emptyText: tokens.isPending ? ' ' : t('tokens.none') }} />
      {making && <CreateToken onClose={() => setMaking(false)} />}
    </Section>
  )
}

const roles = ['admin', 'auditor', 'owner', 'developer', 'viewer'] as const

function CreateToken({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation()
  const [form] = Form.useForm<{ name: string; role: (typeof roles)[number]; days?: number | null }>()
  const session = useQuery(sessionQuery)
  const create = useCreateToken()
  // A token can do what its owner can, at most: a person without a platform role is offered the tenant's roles only.
  const offered = roles.filter((role) => session.data?.platformRole === 'admin' || !['admin', 'auditor'].includes(role))
  if (create.data) {
    return (
      <Modal open title={t('tokens.made')} onCancel={onClose} footer={<Button type="primary" onClick={onClose}>{t('action.close')}</Button>}>
        <p>{t('tokens.once')}</p>
        <CopyLine text={create.data.token} />
      </Modal>
    )
  }
  return (
    <Modal open title={t('tokens.create')} okText={t('tokens.submit')} cancelText={t('action.cancel')} confirmLoading={create.isPending} onCancel={onClose} onOk={() => form.submit()}>
      {create.isError && <ProblemAlert problem={asProblem(create.error)} />}
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        initialValues={{ role: offered[offered.length - 1], days: 90 }}
        onFinish={({ name, role, days }) => create.mutate({ name: name.trim(), role, ttlSeconds: (days ?? 0) * 86_400 })}
      >
        <Form.Item name="name" label={t('column.name')} rules={[{ required: true, whitespace: true, message: t('tokens.nameMissing') }]}>
          <Input autoFocus spellCheck={false} />
        </Form.Item>
        <Space size="large" align="start">
          <Form.Item name="role" label={t('column.role')}>
            <Select style={{ width: 160 }} options={offered.map((role) => ({ value: role, label: t(`role.${role}`) }))} />
          </Form.Item>
          <Form.Item name="days" label={t('tokens.days')} extra={t('tokens.daysHelp')}>
            <InputNumber min={1} max={3650} precision={0} placeholder={t('tokens.never')} />
          </Form.Item>
        </Space>
      </Form>
    </Modal>
  )
}

function Password() {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const [form] = Form.useForm<{ current: string; password: string }>()
  const change = useChangePassword()
  return (
    <Section title={t('password.title')}>
      {change.isError && <ProblemAlert problem={asProblem(change.error)} />}
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        onFinish={({ current, password }) =>
          change.mutate(
            { current, password },
            {
              onSuccess: () => {
                form.resetFields()
                message.success(t('password.changed'))
              },
            },
          )
        }
      >
        <Form.Item name="current" label={t('password.current')} rules={[{ required: true, message: t('signIn.passwordMissing') }]}>
          <Input.Password autoComplete="current-password" />
        </Form.Item>
        <Form.Item name="password" label={t('password.new')} extra={t('password.help')} rules={[{ required: true, message: t('signIn.passwordMissing') }, { min: 10, message: t('setup.passwordShort', { count: 10 }) }]}>
          <Input.Password autoComplete="new-password" />
        </Form.Item>
        <Button htmlType="submit" loading={change.isPending}>
          {t('password.submit')}
        </Button>
      </Form>
    </Section>
  )
}
