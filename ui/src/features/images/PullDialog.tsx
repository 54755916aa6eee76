import { App as AntApp, Collapse, Form, Input, Modal } from 'antd'
import { useTranslation } from 'react-i18next'
import { asProblem } from '@/api/problem'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAsPanel } from '@/shared/ui/SameAs'
import { Steps } from '@/shared/ui/Steps'
import { usePull } from './queries'

interface Values {
  image: string
  username?: string
  password?: string
}

/** Fetches an image by name and shows its layers as they come. Closing leaves the fetch going on the node. */
export function PullDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const [form] = Form.useForm<Values>()
  const image = Form.useWatch('image', form) ?? ''
  const { pull, steps } = usePull()
  return (
    <Modal open title={t('images.pullTitle')} okText={t('images.pull')} cancelText={t('action.close')} confirmLoading={pull.isPending} onCancel={onClose} onOk={() => form.submit()}>
      {pull.isError && <ProblemAlert problem={asProblem(pull.error)} />}
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
        <Form.Item name="image" label={t('deploy.image')} rules={[{ required: true, whitespace: true, message: t('deploy.imageMissing') }]}>
          <Input autoFocus spellCheck={false} placeholder="registry.example.com/team/app:1.0" />
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
                    <Input.Password autoComplete="off" />
                  </Form.Item>
                </div>
              ),
            },
            { key: 'same', label: t('sameAs.title'), children: <SameAsPanel cli={`skerry image pull ${image.trim() || 'IMAGE'}`} api={`curl -X POST ${location.origin}/api/v1/image-pulls \\\n  -H "Authorization: Bearer $SKERRY_TOKEN" \\\n  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify({ image: image.trim() || 'IMAGE' })}'`} /> },
          ]}
        />
      </Form>
      {pull.isPending && <Steps steps={steps} />}
    </Modal>
  )
}
