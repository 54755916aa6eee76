import { Button, Form, Input, Modal, Tag } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { Node } from '@/api/model'
import { useMay } from '@/api/may'
import { asProblem } from '@/api/problem'
import { curl } from '@/shared/lib/shell'
import { DeleteOutlined, EditOutlined, PlusOutlined } from '@/shared/ui/icons'
import { FoldedSameAs } from '@/shared/ui/FoldedSameAs'
import { Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { labelKeyPattern } from './list'
import { useSetLabels } from './queries'

interface Values {
  labels: { key?: string; value?: string }[]
}

/** The labels of a node, and what they are good for. */
export function LabelsSection({ node }: { node: Node }) {
  const { t } = useTranslation()
  const may = useMay()
  const [editing, setEditing] = useState(false)
  const labels = Object.entries(node.spec.labels ?? {})
  return (
    <Section
      title={t('node.labels')}
      extra={
        may('platform.write') && (
          <Button size="small" icon={<EditOutlined />} onClick={() => setEditing(true)}>
            {t('nodes.editLabels')}
          </Button>
        )
      }
    >
      {labels.length > 0 ? (
        <div className="sk-labels">
          {labels.map(([key, value]) => (
            <Tag key={key}>{`${key}=${value}`}</Tag>
          ))}
        </div>
      ) : (
        <p className="sk-muted">{t('nodes.noLabels')}</p>
      )}
      {editing && <LabelsDialog node={node} onClose={() => setEditing(false)} />}
    </Section>
  )
}

function LabelsDialog({ node, onClose }: { node: Node; onClose: () => void }) {
  const { t } = useTranslation()
  const [form] = Form.useForm<Values>()
  // The node as it was when the dialog was opened: what others change meanwhile is refused, not overwritten.
  const [based] = useState(node)
  const save = useSetLabels()
  const values = Form.useWatch([], form) as Values | undefined
  const labelsOf = (given: Values | undefined) => Object.fromEntries((given?.labels ?? []).filter((pair) => pair?.key).map(({ key = '', value = '' }) => [key.trim(), value.trim()]))
  return (
    <Modal open title={t('nodes.labelsOf', { name: node.name })} okText={t('nodes.save')} cancelText={t('action.cancel')} confirmLoading={save.isPending} onCancel={onClose} onOk={() => form.submit()}>
      <ProblemAlert problem={save.isError ? asProblem(save.error) : null} />
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        initialValues={{ labels: Object.entries(based.spec.labels ?? {}).map(([key, value]) => ({ key, value })) }}
        onFinish={(given: Values) => save.mutate({ node: based, labels: labelsOf(given) }, { onSuccess: onClose })}
      >
        <p className="sk-muted sk-form-hint">{t('nodes.labelsHelp')}</p>
        <Form.List name="labels">
          {(fields, { add, remove }) => (
            <div className="sk-pairs">
              {fields.map(({ key, name }) => (
                <div key={key} className="sk-pair">
                  <Form.Item
                    name={[name, 'key']}
                    noStyle={false}
                    style={{ margin: 0 }}
                    rules={[
                      { required: true, whitespace: true, message: t('nodes.labelMissing') },
                      { pattern: labelKeyPattern, message: t('nodes.labelRule') },
                      { validator: (_, key: string) => ((form.getFieldValue('labels') as Values['labels']).filter((pair) => pair?.key === key).length > 1 ? Promise.reject(new Error(t('nodes.labelTwice'))) : Promise.resolve()) },
                    ]}
                  >
                    <Input aria-label={t('nodes.labelKey')} placeholder="zone" spellCheck={false} autoComplete="off" />
                  </Form.Item>
                  <Form.Item name={[name, 'value']} style={{ margin: 0 }}>
                    <Input maxLength={128} aria-label={t('nodes.labelValue')} placeholder="a" spellCheck={false} autoComplete="off" />
                  </Form.Item>
                  <Button type="text" icon={<DeleteOutlined />} aria-label={t('action.removeRow')} onClick={() => remove(name)} />
                </div>
              ))}
              <Button type="dashed" icon={<PlusOutlined />} onClick={() => add({ key: '', value: '' })} style={{ justifySelf: 'start' }}>
                {t('nodes.labelAdd')}
              </Button>
            </div>
          )}
        </Form.List>
      </Form>
      <FoldedSameAs api={curl({ method: 'PUT', path: `/nodes/${encodeURIComponent(node.name)}`, json: { ...based.spec, labels: labelsOf(values) } })} />
    </Modal>
  )
}
