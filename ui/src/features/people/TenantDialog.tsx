import { Form, Input, Modal } from 'antd'
import { useTranslation } from 'react-i18next'
import type { Tenant } from '@/api/model'
import { asProblem } from '@/api/problem'
import { commandLine, curl } from '@/shared/lib/shell'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { FoldedSameAs } from '@/shared/ui/FoldedSameAs'
import { useSaveTenant } from './queries'
import { tenantName } from './rules'

/** Creates a tenant, or changes the name that is shown. The name itself stays: it is part of every image's name. */
export function TenantDialog({ tenant, onClose, onSaved }: { tenant?: Tenant; onClose: () => void; onSaved: (saved: Tenant) => void }) {
  const { t } = useTranslation()
  const [form] = Form.useForm<{ name: string; displayName: string }>()
  const name = (Form.useWatch('name', form) ?? '').trim()
  const displayName = (Form.useWatch('displayName', form) ?? tenant?.spec.displayName ?? '').trim()
  const save = useSaveTenant(tenant)
  return (
    <Modal open title={tenant ? t('tenant.editTitle', { name: tenant.name }) : t('tenant.createTitle')} okText={tenant ? t('edit.save') : t('tenant.create')} cancelText={t('action.cancel')} confirmLoading={save.isPending} onCancel={onClose} onOk={() => form.submit()}>
      {save.isError && <ProblemAlert problem={asProblem(save.error)} />}
      <Form form={form} layout="vertical" requiredMark={false} disabled={save.isPending} initialValues={{ name: '', displayName: tenant?.spec.displayName ?? '' }} onFinish={(values) => save.mutate({ name: (values.name ?? '').trim(), displayName: values.displayName.trim() }, { onSuccess: onSaved })}>
        {!tenant && (
          <Form.Item name="name" label={t('column.name')} extra={t('tenant.nameHelp')} rules={[{ required: true, whitespace: true, message: t('tenant.nameMissing') }, { pattern: tenantName, transform: (value: string) => value.trim(), message: t('tenant.nameRule') }]}>
            <Input autoFocus spellCheck={false} autoCapitalize="none" autoComplete="off" />
          </Form.Item>
        )}
        <Form.Item name="displayName" label={t('user.displayName')} rules={[{ max: 100, message: t('user.displayNameLong') }]}>
          <Input autoComplete="off" />
        </Form.Item>
      </Form>
      <FoldedSameAs
        cli={tenant ? undefined : commandLine('skerry', 'tenant', 'create', ...(displayName ? ['--display-name', displayName] : []), name || 'NAME')}
        api={tenant ? curl({ method: 'PUT', path: `/tenants/${encodeURIComponent(tenant.name)}`, json: { ...tenant.spec, displayName } }) : curl({ method: 'POST', path: '/tenants', json: { name: name || 'NAME', spec: { displayName: displayName || undefined } } })}
      />
    </Modal>
  )
}
