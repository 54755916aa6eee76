import { useQuery } from '@tanstack/react-query'
import { Button, Form, Input } from 'antd'
import { useTranslation } from 'react-i18next'
import { Navigate, useNavigate, useSearchParams } from 'react-router'
import { asProblem } from '@/api/problem'
import { sessionQuery, setupQuery } from '@/api/queries'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Door } from './Door'
import { useSignIn } from './queries'

/** Only a path of this console is followed after signing in. */
export function safeNext(next: string | null): string {
  return next && /^\/(?![/\\])/.test(next) ? next : '/'
}

export default function SignInPage() {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const [search] = useSearchParams()
  const session = useQuery(sessionQuery)
  const setup = useQuery({ ...setupQuery, enabled: session.data === null })
  const signIn = useSignIn()
  const next = safeNext(search.get('next'))
  if (session.data) return <Navigate to={next} replace />
  if (setup.data?.needed) return <Navigate to="/setup" replace />
  return (
    <Door title={t('signIn.title')} lead={t('signIn.lead')}>
      {setup.isError && <ProblemAlert problem={asProblem(setup.error)} retry={() => void setup.refetch()} />}
      {signIn.isError && <ProblemAlert problem={asProblem(signIn.error)} />}
      <Form
        layout="vertical"
        requiredMark={false}
        onFinish={(values: { name: string; password: string }) =>
          signIn.mutate({ name: values.name.trim(), password: values.password }, { onSuccess: () => void navigate(next, { replace: true }) })
        }
      >
        <Form.Item name="name" label={t('signIn.name')} rules={[{ required: true, whitespace: true, message: t('signIn.nameMissing') }]}>
          <Input autoComplete="username" autoFocus autoCapitalize="none" spellCheck={false} size="large" />
        </Form.Item>
        <Form.Item name="password" label={t('signIn.password')} rules={[{ required: true, message: t('signIn.passwordMissing') }]}>
          <Input.Password autoComplete="current-password" size="large" />
        </Form.Item>
        <Button type="primary" htmlType="submit" size="large" block loading={signIn.isPending}>
          {t('signIn.submit')}
        </Button>
      </Form>
    </Door>
  )
}
