import { DeleteOutlined, PlusOutlined } from '@/shared/ui/icons'
import { Button, Collapse, Form, Input, Modal, Select } from 'antd'
import { useEffect } from 'react'
import { useTranslation } from 'react-i18next'
import type { Node } from '@/api/model'
import { asProblem } from '@/api/problem'
import { commandLine, curl } from '@/shared/lib/shell'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAsPanel } from '@/shared/ui/SameAs'
import { useCreateVolume, type NewVolume } from './queries'

interface Values {
  name?: string
  node?: string
  labels?: { name?: string; value?: string }[]
}

/** The server's rule for names of volumes. */
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/

function inputOf({ name, node, labels }: Values): NewVolume {
  const pairs = (labels ?? []).filter((label) => label?.name?.trim())
  return {
    name: name?.trim() ?? '',
    ...(node ? { node } : {}),
    ...(pairs.length > 0 ? { spec: { labels: Object.fromEntries(pairs.map(({ name, value }) => [name?.trim() ?? '', value ?? ''])) } } : {}),
  }
}

export function CreateDialog({ taken, nodes, onClose, onCreated }: { taken: string[]; nodes: Node[]; onClose: () => void; onCreated: (name: string) => void }) {
  const { t } = useTranslation()
  const [form] = Form.useForm<Values>()
  const values: Values = Form.useWatch([], form) ?? {}
  const create = useCreateVolume()
  const problem = create.isError ? asProblem(create.error) : null
  useEffect(() => {
    if (problem?.field === 'name') form.setFields([{ name: 'name', errors: [problem.message] }])
  }, [form, problem])
  const input = inputOf({ ...values, name: values.name || 'data' })
  return (
    <Modal open title={t('volumes.create')} okText={t('volumes.createSubmit')} cancelText={t('action.cancel')} confirmLoading={create.isPending} onCancel={onClose} onOk={() => form.submit()}>
      {problem && <ProblemAlert problem={problem} />}
      <Form form={form} layout="vertical" requiredMark={false} disabled={create.isPending} onFinish={(given) => create.mutate(inputOf(given), { onSuccess: (volume) => onCreated(volume.name) })}>
        <Form.Item
          name="name"
          label={t('column.name')}
          extra={t('volumes.nameHelp')}
          validateFirst
          rules={[
            { required: true, message: t('volumes.nameMissing') },
            { pattern: namePattern, message: t('volumes.nameRule') },
            { validator: (_, value: string) => (taken.includes(value) ? Promise.reject(new Error(t('volumes.nameTaken', { name: value }))) : Promise.resolve()) },
          ]}
        >
          <Input autoFocus spellCheck={false} autoComplete="off" placeholder="data" />
        </Form.Item>
        {nodes.length > 1 && (
          <Form.Item name="node" label={t('column.node')} extra={t('volumes.nodeHelp')}>
            <Select allowClear placeholder={t('volumes.anyNode')} options={nodes.map(({ id, name }) => ({ value: id, label: name }))} />
          </Form.Item>
        )}
        <Collapse
          ghost
          size="small"
          style={{ marginInline: -12 }}
          items={[
            {
              key: 'labels',
              label: t('node.labels'),
              forceRender: true,
              children: (
                <Form.List name="labels">
                  {(fields, { add, remove }) => (
                    <div className="sk-pairs">
                      {fields.map((field) => (
                        <div key={field.key} className="sk-pair">
                          <Form.Item name={[field.name, 'name']} noStyle>
                            <Input aria-label={t('deploy.envName')} placeholder={t('deploy.envName')} spellCheck={false} />
                          </Form.Item>
                          <Form.Item name={[field.name, 'value']} noStyle>
                            <Input aria-label={t('deploy.envValue')} placeholder={t('deploy.envValue')} spellCheck={false} />
                          </Form.Item>
                          <Button type="text" icon={<DeleteOutlined />} aria-label={t('action.removeRow')} onClick={() => remove(field.name)} />
                        </div>
                      ))}
                      <Button icon={<PlusOutlined />} onClick={() => add({})}>
                        {t('volumes.addLabel')}
                      </Button>
                    </div>
                  )}
                </Form.List>
              ),
            },
          ]}
        />
      </Form>
      <SameAsPanel
        cli={commandLine('skerry', 'volume', 'create', ...(input.node ? ['--node', input.node] : []), ...Object.entries(input.spec?.labels ?? {}).flatMap(([name, value]) => ['-l', `${name}=${value}`]), input.name)}
        api={curl({ method: 'POST', path: '/volumes', json: input })}
        compose={`volumes:\n  ${input.name}: {}\n`}
      />
    </Modal>
  )
}
