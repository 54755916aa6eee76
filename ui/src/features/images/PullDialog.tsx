import { App as AntApp, Collapse, Form, Input, Modal } from 'antd'
import { useTranslation } from 'react-i18next'
import { asProblem } from '@/api/problem'
import { commandLine, curl } from '@/shared/lib/shell'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAsPanel } from '@/shared/ui/SameAs'
import { Steps } from '@/shared/ui/Steps'
import { usePull } from './queries'

interface Values {
  image: string
  username?: string
  password?: string
}

/** Fetches an image by name and shows its layers as they come. Closing leaves the fetch going, as a task of the top bar. */
export function PullDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const [form] = Form.useForm<Values>()
  const image = (Form.useWatch('image', form) ?? '').trim()
  const username = Form.useWatch('username', form) ?? ''
  const { pull, steps } = usePull()
  return (
    <Modal open title={t('images.pullTitle')} okText={t('images.pull')} cancelText={t('action.close')} confirmLoading={pull.isPending} onCancel={onClose} onOk={() => form.submit()}>
      {pull.isError && !pull.isPending && !stopped(pull.error) && <ProblemAlert problem={asProblem(pull.error)} />}
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        disabled={pull.isPending}
        onFinish={(values) =>
          pull.mutate(
            { image: values.image.trim(), username: values.username || undefined, password: values.password || undefined },
            {
              onSuccess: (done) => {
                message.success(t('images.pulled', { name: done.name }))
                onClose()
              },
            },
          )
        }
      >
        <Form.Item name="image" label={t('deploy.image')} extra={t('images.pullHelp')} rules={[{ required: true, whitespace: true, message: t('images.pullMissing') }]}>
          <Input autoFocus spellCheck={false} placeholder="nginx:1.27" />
        </Form.Item>
        <Collapse
          ghost
          size="small"
          items={[
            {
              key: 'credentials',
              label: t('images.credentials'),
              forceRender: true,
              children: (
                <div className="sk-row">
                  <Form.Item name="username" label={t('signIn.name')}>
                    <Input autoComplete="off" spellCheck={false} />
                  </Form.Item>
                  <Form.Item name="password" label={t('signIn.password')}>
                    <Input.Password autoComplete="new-password" />
                  </Form.Item>
                </div>
              ),
            },
            {
              key: 'same',
              label: t('sameAs.title'),
              children: (
                <SameAsPanel
                  cli={commandLine('skerry', 'image', 'pull', ...(username ? ['-u', username] : []), image || 'IMAGE')}
                  api={curl({ method: 'POST', path: '/image-pulls', json: { image: image || 'IMAGE', ...(username ? { username, password: 'PASSWORD' } : {}) } })}
                />
              ),
            },
          ]}
        />
      </Form>
      {pull.isPending && <Steps steps={steps} />}
    </Modal>
  )
}

const stopped = (error: unknown) => error instanceof DOMException && error.name === 'AbortError'
