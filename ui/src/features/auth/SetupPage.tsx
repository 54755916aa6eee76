import { useQuery } from '@tanstack/react-query'
import { Button, Form, Input } from 'antd'
import { useTranslation } from 'react-i18next'
import { Navigate, useNavigate } from 'react-router'
import { asProblem } from '@/api/problem'
import { sessionQuery, setupQuery } from '@/api/queries'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Door } from './Door'
import { useSetup } from './queries'

/** The shortest password that the server takes, in characters (openapi.yaml, SetupInput). */
const shortestPassword = 10

interface Values {
  token: string
  name: string
  password: string
  again: string
}

/** The token that the address hands over: as /setup?token=..., or as a fragment, which never reaches a server's log. */
function tokenFromAddress(): string {
  return new URLSearchParams(location.search).get('token') ?? new URLSearchParams(location.hash.slice(1)).get('token') ?? ''
}

export default function SetupPage() {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const session = useQuery(sessionQuery)
  const setup = useQuery(setupQuery)
  const complete = useSetup()
  if (session.data) return <Navigate to="/" replace />
  if (setup.data && !setup.data.needed) return <Navigate to="/sign-in" replace />
  return (
    <Door title={t('setup.title')} lead={t('setup.lead')}>
      {setup.isError && <ProblemAlert problem={asProblem(setup.error)} retry={() => void setup.refetch()} />}
      {complete.isError && <ProblemAlert problem={asProblem(complete.error)} />}
      <Form
        layout="vertical"
        requiredMark={false}
        initialValues={{ token: tokenFromAddress(), name: 'admin' }}
        onFinish={(values: Values) =>
          complete.mutate(
            { token: values.token.trim(), name: values.name.trim(), password: values.password },
            { onSuccess: () => void navigate('/', { replace: true }) },
          )
        }
      >
        <Form.Item name="token" label={t('setup.token')} extra={t('setup.tokenHelp')} rules={[{ required: true, whitespace: true, message: t('setup.tokenMissing') }]}>
          <Input autoComplete="off" autoFocus spellCheck={false} size="large" />
        </Form.Item>
        <Form.Item name="name" label={t('signIn.name')} rules={[{ required: true, whitespace: true, message: t('signIn.nameMissing') }]}>
          <Input autoComplete="username" autoCapitalize="none" spellCheck={false} size="large" />
        </Form.Item>
        <Form.Item
          name="password"
          label={t('signIn.password')}
          extra={t('setup.passwordHelp', { count: shortestPassword })}
          rules={[
            { required: true, message: t('signIn.passwordMissing') },
            { min: shortestPassword, message: t('setup.passwordShort', { count: shortestPassword }) },
          ]}
        >
          <Input.Password autoComplete="new-password" size="large" />
        </Form.Item>
        <Form.Item
          name="again"
          label={t('setup.again')}
          dependencies={['password']}
          rules={[
            ({ getFieldValue }) => ({
              validator: (_, value) => (value === getFieldValue('password') ? Promise.resolve() : Promise.reject(new Error(t('setup.different')))),
            }),
          ]}
        >
          <Input.Password autoComplete="new-password" size="large" />
        </Form.Item>
        <Button type="primary" htmlType="submit" size="large" block loading={complete.isPending}>
          {t('setup.submit')}
        </Button>
      </Form>
    </Door>
  )
}
