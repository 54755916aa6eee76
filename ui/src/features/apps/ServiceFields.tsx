import { DeleteOutlined, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { AutoComplete, Button, Collapse, Form, Input, InputNumber, Select, Space, type FormInstance } from 'antd'
import { useEffect, useMemo, useRef } from 'react'
import { useTranslation } from 'react-i18next'
import { imageQuery, imagesQuery } from '@/api/queries'
import { shortImage, suggestName } from '@/shared/lib/image'
import { namePattern, type DeployValues } from './deploy'

/** The fields of one service: image and port stand open, everything else is folded with its default. */
export function ServiceFields({ form, image, range, taken, fixedName }: { form: FormInstance<DeployValues>; image: string; range: string; taken: string[]; fixedName?: boolean }) {
  const { t } = useTranslation()
  const images = useQuery(imagesQuery)
  const options = useImageOptions(images.data?.items.map(({ name }) => name), t('deploy.builtIn'))
  const suggestion = suggestName(image, taken)
  const touched = useRef({ name: false, port: false })

  // The name follows the image until the person writes one; so does the port, from what the image says it listens on.
  useEffect(() => {
    if (!fixedName && !touched.current.name) form.setFieldValue('name', suggestion)
  }, [form, suggestion, fixedName])
  const known = images.data?.items.find(({ name }) => shortImage(name) === shortImage(image) || shortImage(name) === `${shortImage(image)}:latest`)
  const detail = useQuery({ ...imageQuery(known?.name ?? ''), enabled: known !== undefined && !fixedName })
  const exposed = detail.data?.config?.exposedPorts?.map((port) => port.split('/')).find(([, protocol]) => protocol !== 'udp')?.[0]
  useEffect(() => {
    if (!fixedName && !touched.current.port && exposed) form.setFieldValue('port', Number(exposed))
  }, [form, exposed, fixedName])

  return (
    <>
      <Form.Item name="image" label={t('deploy.image')} extra={t('deploy.imageHelp')} rules={[{ required: true, whitespace: true, message: t('deploy.imageMissing') }]}>
        <AutoComplete
          autoFocus
          popupRender={(list) => <div ref={(popup) => popup?.querySelector('[role=listbox]')?.setAttribute('aria-label', t('deploy.imagesHere'))}>{list}</div>}
          options={options}
          allowClear
          showSearch={{ filterOption: (input, option) => String(option?.value ?? '').includes(input.trim()) }}
          placeholder="library/welcome:latest"
        />
      </Form.Item>
      <div className="sk-row">
        <Form.Item name="port" label={t('deploy.port')} extra={t('deploy.portHelp')}>
          <InputNumber min={1} max={65535} precision={0} style={{ width: '100%' }} placeholder="80" onChange={() => (touched.current.port = true)} />
        </Form.Item>
        {!fixedName && (
          <Form.Item
            name="name"
            label={t('deploy.name')}
            extra={t('deploy.nameHelp')}
            validateFirst
            rules={[
              { required: true, message: t('deploy.nameMissing') },
              { pattern: namePattern, message: t('deploy.nameRule') },
              { validator: (_, value: string) => (taken.includes(value) ? Promise.reject(new Error(t('deploy.nameTaken', { name: value }))) : Promise.resolve()) },
            ]}
          >
            <Input spellCheck={false} autoComplete="off" onChange={(event) => (touched.current.name = event.target.value !== '')} />
          </Form.Item>
        )}
      </div>
      <Collapse ghost size="small" style={{ marginInline: -12, marginBottom: 12 }} defaultActiveKey={fixedName ? ['more'] : []} items={[{ key: 'more', label: t('deploy.more'), forceRender: true, children: <More range={range} /> }]} />
    </>
  )
}

/** The images that are here; the built-in one stands first, because a host without Internet has it. */
function useImageOptions(names: string[] | undefined, builtIn: string) {
  return useMemo(() => {
    const welcome = (name: string) => /(^|\/)library\/welcome(:|$)/.test(name)
    return [...(names ?? [])]
      .sort((a, b) => Number(welcome(b)) - Number(welcome(a)) || a.localeCompare(b))
      .map((name) => ({ value: name, label: welcome(name) ? `${name} (${builtIn})` : name }))
  }, [names, builtIn])
}

function More({ range }: { range: string }) {
  const { t } = useTranslation()
  return (
    <>
      <div className="sk-row">
        <Form.Item name="hostPort" label={t('deploy.hostPort')} extra={t('deploy.hostPortHelp', { range })}>
          <InputNumber min={1} max={65535} precision={0} style={{ width: '100%' }} placeholder={t('deploy.automatic')} />
        </Form.Item>
        <Form.Item name="protocol" label={t('deploy.protocol')}>
          <Select options={[{ value: 'tcp', label: 'TCP' }, { value: 'udp', label: 'UDP' }]} />
        </Form.Item>
        <Form.Item name="replicas" label={t('column.replicas')}>
          <InputNumber min={0} max={1000} precision={0} style={{ width: '100%' }} />
        </Form.Item>
      </div>
      <div className="sk-row">
        <Form.Item name="cpus" label={t('deploy.cpus')}>
          <InputNumber min={0.01} max={1024} step={0.25} style={{ width: '100%' }} placeholder={t('deploy.noLimit')} suffix={t('deploy.cores')} />
        </Form.Item>
        <Form.Item name="memoryMiB" label={t('deploy.memory')}>
          <InputNumber min={6} step={64} precision={0} style={{ width: '100%' }} placeholder={t('deploy.noLimit')} suffix="MiB" />
        </Form.Item>
        <Form.Item name="restart" label={t('deploy.restart')}>
          <Select
            options={[
              { value: 'always', label: t('deploy.restartAlways') },
              { value: 'on-failure', label: t('deploy.restartOnFailure') },
              { value: 'no', label: t('deploy.restartNo') },
            ]}
          />
        </Form.Item>
      </div>
      <Pairs name="env" label={t('deploy.env')} add={t('deploy.envAdd')} left={['name', t('deploy.envName')]} right={['value', t('deploy.envValue')]} rule={{ pattern: /^[^=\s\0]+$/, message: t('deploy2.envRule') }} />
      <Pairs name="volumes" label={t('deploy.volumes')} add={t('deploy.volumeAdd')} left={['name', t('deploy.volumeName')]} right={['path', t('deploy.volumePath')]} rightRule={{ pattern: /^\//, message: t('deploy2.pathRule') }} />
      <div className="sk-row">
        <Form.Item name="command" label={t('deploy.command')} extra={t('deploy.commandHelp')}>
          <Input spellCheck={false} placeholder={t('deploy.fromImage')} />
        </Form.Item>
        <Form.Item name="user" label={t('deploy.user')}>
          <Input spellCheck={false} placeholder={t('deploy.fromImage')} />
        </Form.Item>
      </div>
    </>
  )
}

interface Rule {
  pattern: RegExp
  message: string
}

/** A list of pairs of texts, such as environment variables. */
function Pairs({ name, label, add, left, right, rule, rightRule }: { name: string; label: string; add: string; left: [string, string]; right: [string, string]; rule?: Rule; rightRule?: Rule }) {
  const { t } = useTranslation()
  return (
    <Form.Item label={label}>
      <Form.List name={name}>
        {(fields, { add: append, remove }) => (
          <div className="sk-pairs">
            {fields.map((field, i) => (
              <div key={field.key} className="sk-pair">
                {[left, right].map(([part, caption], side) => {
                  const held = side === 0 ? rule : rightRule
                  return (
                    <Form.Item key={part} name={[field.name, part]} style={{ marginBottom: 0 }} rules={held ? [held] : []}>
                      <Input spellCheck={false} aria-label={`${caption} ${i + 1}`} placeholder={caption} />
                    </Form.Item>
                  )
                })}
                <Button type="text" icon={<DeleteOutlined />} aria-label={`${t('action.removeRow')} ${i + 1}`} onClick={() => remove(field.name)} />
              </div>
            ))}
            <Space>
              <Button size="small" icon={<PlusOutlined />} onClick={() => append({})}>
                {add}
              </Button>
            </Space>
          </div>
        )}
      </Form.List>
    </Form.Item>
  )
}
