import { Button, Form, Input, Modal } from 'antd'
import { useTranslation } from 'react-i18next'
import { useNavigate } from 'react-router'
import type { Me } from '@/api/model'
import { asProblem } from '@/api/problem'
import { useSignInAgain } from '@/api/session'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'

/** Stands over the page when the session has ended, so that what was typed there survives. */
export function SessionDialog({ me, onLeave }: { me: Me; onLeave: () => void }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const signIn = useSignInAgain(me)
  const [form] = Form.useForm<{ password: string }>()
  return (
    <Modal
      open
      title={t('session.ended')}
      closable={false}
      keyboard={false}
      mask={{ closable: false }}
      footer={null}
      zIndex={2000}
    >
      <p className="sk-muted sk-session-lead">{t('session.stays')}</p>
      {signIn.isError && <ProblemAlert problem={asProblem(signIn.error)} />}
      <Form form={form} layout="vertical" requiredMark={false} onFinish={({ password }) => signIn.mutate({ name: me.name, password })}>
        <Form.Item label={t('signIn.name')} htmlFor="session-name">
          <Input id="session-name" value={me.name} readOnly autoComplete="username" />
        </Form.Item>
        <Form.Item name="password" label={t('signIn.password')} rules={[{ required: true, message: t('signIn.passwordMissing') }]}>
          <Input.Password autoFocus autoComplete="current-password" />
        </Form.Item>
        <div className="sk-form-foot">
          <Button type="primary" htmlType="submit" loading={signIn.isPending}>
            {t('signIn.submit')}
          </Button>
          <Button
            type="text"
            onClick={() => {
              onLeave()
              void navigate('/sign-in')
            }}
          >
            {t('session.other')}
          </Button>
        </div>
      </Form>
    </Modal>
  )
}
