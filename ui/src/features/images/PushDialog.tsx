import { App as AntApp, Form, Input, Modal } from 'antd'
import { useTranslation } from 'react-i18next'
import type { Image } from '@/api/model'
import { asProblem } from '@/api/problem'
import { parseImage } from '@/shared/lib/image'
import { commandLine, curl } from '@/shared/lib/shell'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { FoldedSameAs } from '@/shared/ui/FoldedSameAs'
import { Steps } from '@/shared/ui/Steps'
import { usePush } from './queries'

interface Values {
  to: string
  username?: string
  password?: string
}

/** Gives an image a tag in the cluster's registry, which copies nothing, or sends it to another registry. */
export function PushDialog({ image, onClose }: { image: Image; onClose: () => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const [form] = Form.useForm<Values>()
  const { path, tag } = parseImage(image.name)
  const suggested = `${path.split('/').pop() ?? ''}:${tag || 'latest'}`
  const to = (Form.useWatch('to', form) ?? suggested).trim()
  const username = Form.useWatch('username', form) ?? ''
  const foreign = parseImage(to).host !== ''
  const { push, steps } = usePush(image)
  return (
    <Modal open title={t('push.title', { name: image.name })} okText={t('push.submit')} cancelText={t('action.close')} confirmLoading={push.isPending} onCancel={onClose} onOk={() => form.submit()}>
      {push.isError && !push.isPending && <ProblemAlert problem={asProblem(push.error)} />}
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        disabled={push.isPending}
        initialValues={{ to: suggested }}
        onFinish={(values) =>
          push.mutate(
            { to: values.to.trim(), username: (foreign && values.username) || undefined, password: (foreign && values.password) || undefined },
            {
              onSuccess: (done) => {
                message.success(t('push.done', { name: done.name }))
                onClose()
              },
            },
          )
        }
      >
        <Form.Item name="to" label={t('push.to')} extra={foreign ? t('push.foreign') : t('push.own')} rules={[{ required: true, whitespace: true, message: t('push.missing') }]}>
          <Input autoFocus spellCheck={false} placeholder="web:1.0" />
        </Form.Item>
        {foreign && (
          <div className="sk-row">
            <Form.Item name="username" label={t('signIn.name')}>
              <Input autoComplete="off" spellCheck={false} />
            </Form.Item>
            <Form.Item name="password" label={t('signIn.password')}>
              <Input.Password autoComplete="new-password" />
            </Form.Item>
          </div>
        )}
        <FoldedSameAs
                  cli={commandLine('skerry', 'image', 'push', ...(foreign && username ? ['-u', username] : []), image.name, to || 'NAME:TAG')}
                  api={curl({ method: 'POST', path: `/images/${encodeURIComponent(image.name)}/pushes`, json: { to: to || 'NAME:TAG', ...(foreign && username ? { username, password: 'PASSWORD' } : {}) } })}
                />
      </Form>
      {push.isPending && <Steps steps={steps} />}
    </Modal>
  )
}
