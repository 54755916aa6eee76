import { useQuery } from '@tanstack/react-query'
import { AutoComplete, Form, Modal } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { AppInput, Service } from '@/api/model'
import { asProblem } from '@/api/problem'
import { appQuery, imagesQuery } from '@/api/queries'
import { commandLine, curl } from '@/shared/lib/shell'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAsPanel } from '@/shared/ui/SameAs'
import { composeOf } from './compose'
import { inputsOf } from './deploy'
import { usePlan } from './plan'
import { PlanPanel } from './PlanView'
import { useUpdateImage } from './queries'

/** Rolls a service on to another image, or to what its tag means by now; says before what that does. */
export function UpdateDialog({ service, onClose }: { service: Service; onClose: () => void }) {
  const { t } = useTranslation()
  const [present] = useState(service)
  const [image, setImage] = useState(present.spec.container.image)
  const app = useQuery(appQuery(present.appId))
  const images = useQuery(imagesQuery)
  const update = useUpdateImage()
  const wanted = image.trim()
  const input = useMemo<AppInput | null>(() => {
    if (!app.data || wanted === '') return null
    const services = inputsOf(app.data.spec.services)
    const own = services[present.name]
    return own ? { name: app.data.name, services: { ...services, [present.name]: { ...own, container: { ...own.container, image: wanted } } } } : null
  }, [app.data, wanted, present.name])
  const plan = usePlan(input)
  const ref = `${present.appName}.${present.name}`
  return (
    <Modal
      open
      width={600}
      title={t('service.updateTitle', { name: present.name })}
      okText={t('service.updateSubmit')}
      cancelText={t('action.cancel')}
      okButtonProps={{ disabled: wanted === '' }}
      confirmLoading={update.isPending}
      onCancel={onClose}
      onOk={() => update.mutate({ service: present, image: wanted, again: wanted === present.spec.container.image }, { onSuccess: onClose })}
    >
      {update.isError && <ProblemAlert problem={asProblem(update.error)} />}
      <Form layout="vertical" disabled={update.isPending}>
        <Form.Item label={t('deploy.image')} htmlFor="update-image" extra={wanted === present.spec.container.image ? t('service.again') : t('deploy.imageHelp')}>
          <AutoComplete id="update-image" autoFocus value={image} onChange={setImage} options={images.data?.items.map(({ name }) => ({ value: name }))} showSearch={{ filterOption: (typed, option) => String(option?.value ?? '').includes(typed.trim()) }} style={{ width: '100%' }} />
        </Form.Item>
      </Form>
      <div className="sk-stack">
        <PlanPanel of={plan} empty={t('plan.working')} />
        <SameAsPanel
          cli={commandLine('skerry', 'service', 'update', '--image', wanted || 'IMAGE', ref)}
          api={curl({ method: 'PATCH', path: `/services/${encodeURIComponent(ref)}`, json: { image: wanted || 'IMAGE' } })}
          compose={composeOf('', { [present.name]: { ...present.spec, container: { ...present.spec.container, image: wanted || 'IMAGE' } } })}
        />
      </div>
    </Modal>
  )
}
