import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Form, Input } from 'antd'
import { useTranslation } from 'react-i18next'
import { asProblem } from '@/api/problem'
import { sessionQuery } from '@/api/queries'
import { curl } from '@/shared/lib/shell'
import { Facts, Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { useChangePassword } from './queries'
import { Sessions } from './Sessions'
import { Tokens } from './Tokens'

/** The shortest password that the server takes, in characters (openapi.yaml, PasswordChange). */
const shortestPassword = 10

export default function AccountPage() {
  const { t } = useTranslation()
  const me = useQuery(sessionQuery).data
  return (
    <Page title={t('person.account')} plainTitle={t('person.account')} beside={<span className="sk-muted">{me?.displayName ? `${me.name} · ${me.displayName}` : me?.name}</span>}>
      <Tokens />
      <div className="sk-columns">
        <Sessions />
        <div>
          {me && (
            <Section title={t('account.roles')}>
              <Facts items={[...(me.platformRole ? [{ label: t('nav.platform'), value: t(`role.${me.platformRole}`) }] : []), ...me.tenants.map((tenant) => ({ label: tenant.displayName || tenant.name, value: t(`role.${tenant.role}`) }))]} />
            </Section>
          )}
          <Password />
        </div>
      </div>
    </Page>
  )
}

function Password() {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const [form] = Form.useForm<{ current: string; password: string; again: string }>()
  const change = useChangePassword()
  return (
    <Section title={t('password.title')} extra={<SameAs compact api={curl({ method: 'PUT', path: '/session/password', json: { current: 'PASSWORD', password: 'NEW-PASSWORD' } })} />}>
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
        <Form.Item name="password" label={t('password.new')} extra={t('password.help')} rules={[{ required: true, message: t('signIn.passwordMissing') }, { min: shortestPassword, message: t('setup.passwordShort', { count: shortestPassword }) }]}>
          <Input.Password autoComplete="new-password" />
        </Form.Item>
        <Form.Item
          name="again"
          label={t('setup.again')}
          dependencies={['password']}
          rules={[({ getFieldValue }) => ({ validator: (_, value) => ((value ?? '') === (getFieldValue('password') ?? '') ? Promise.resolve() : Promise.reject(new Error(t('setup.different')))) })]}
        >
          <Input.Password autoComplete="new-password" />
        </Form.Item>
        <Button htmlType="submit" loading={change.isPending}>
          {t('password.submit')}
        </Button>
      </Form>
    </Section>
  )
}
