import { Form, Input, Modal, Radio } from 'antd'
import { useTranslation } from 'react-i18next'
import type { Repository, Visibility } from '@/api/model'
import { asProblem } from '@/api/problem'
import { useTenantInView } from '@/api/registry'
import { commandLine, curl } from '@/shared/lib/shell'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { FoldedSameAs } from '@/shared/ui/FoldedSameAs'
import { callPath, repositoryName } from './paths'
import { useCreateRepository, useUpdateRepository } from './queries'
import { visibilities } from './VisibilityTag'

interface Values {
  name: string
  visibility: Visibility
  description: string
}

const longestDescription = 4096

/** Creates a repository, or changes who may read one and what is said about it. */
export function RepositoryDialog({ repository, onClose, onCreated }: { repository?: Repository; onClose: () => void; onCreated?: (made: Repository) => void }) {
  return repository ? <Edit repository={repository} onClose={onClose} /> : <Create onClose={onClose} onCreated={onCreated} />
}

function Create({ onClose, onCreated }: { onClose: () => void; onCreated?: (made: Repository) => void }) {
  const create = useCreateRepository()
  return (
    <Fields
      error={create.isError ? create.error : null}
      pending={create.isPending}
      onClose={onClose}
      onSubmit={({ name, visibility, description }) =>
        create.mutate(
          { name, spec: { visibility, description: description || undefined } },
          {
            onSuccess: (made) => {
              onClose()
              onCreated?.(made)
            },
          },
        )
      }
    />
  )
}

function Edit({ repository, onClose }: { repository: Repository; onClose: () => void }) {
  const update = useUpdateRepository(repository)
  return (
    <Fields
      repository={repository}
      error={update.isError ? update.error : null}
      pending={update.isPending}
      onClose={onClose}
      onSubmit={({ visibility, description }) => update.mutate({ visibility, description: description || undefined }, { onSuccess: onClose })}
    />
  )
}

function Fields({ repository, error, pending, onSubmit, onClose }: { repository?: Repository; error: unknown; pending: boolean; onSubmit: (values: Values) => void; onClose: () => void }) {
  const { t } = useTranslation()
  const tenant = useTenantInView()
  const [form] = Form.useForm<Values>()
  const values = Form.useWatch([], form) as Partial<Values> | undefined
  const name = values?.name?.trim() || 'NAME'
  const spec = { visibility: values?.visibility ?? repository?.spec.visibility ?? 'tenant', description: values?.description || undefined }
  return (
    <Modal
      open
      title={repository ? t('repository.editTitle', { name: repository.path }) : t('repository.createTitle')}
      okText={repository ? t('edit.save') : t('repository.create')}
      cancelText={t('action.cancel')}
      confirmLoading={pending}
      onCancel={onClose}
      onOk={() => form.submit()}
    >
      {error !== null && <ProblemAlert problem={asProblem(error)} />}
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        disabled={pending}
        initialValues={{ name: repository?.name ?? '', visibility: repository?.spec.visibility ?? 'tenant', description: repository?.spec.description ?? '' }}
        onFinish={(given: Values) => onSubmit({ ...given, name: (given.name ?? '').trim(), description: given.description.trim() })}
      >
        {!repository && (
          <Form.Item name="name" label={t('column.name')} extra={t('repository.nameHelp')} rules={[{ required: true, whitespace: true, message: t('repository.nameMissing') }, { pattern: repositoryName, transform: (value: string) => value.trim(), message: t('repository.nameRule') }]}>
            <Input autoFocus prefix={<span className="sk-muted">{tenant ? `${tenant.name}/` : ''}</span>} placeholder="web" spellCheck={false} autoCapitalize="none" />
          </Form.Item>
        )}
        <Form.Item name="visibility" label={t('visibility.label')}>
          <Radio.Group className="sk-choices">
            {visibilities.map((each) => (
              <Radio key={each} value={each}>
                {t(`visibility.${each}`)} <span className="sk-note">{t(`visibility.${each}Help`)}</span>
              </Radio>
            ))}
          </Radio.Group>
        </Form.Item>
        <Form.Item name="description" label={t('repository.description')} rules={[{ max: longestDescription, message: t('repository.descriptionLong', { count: longestDescription }) }]}>
          <Input.TextArea autoSize={{ minRows: 2, maxRows: 8 }} />
        </Form.Item>
      </Form>
      <FoldedSameAs
        cli={commandLine('skerry', 'repo', repository ? 'set' : 'create', '--visibility', spec.visibility, ...(spec.description || repository ? ['--description', spec.description ?? ''] : []), repository ? repository.path : name)}
        api={repository ? curl({ method: 'PUT', path: callPath(repository), json: { ...repository.spec, ...spec } }) : curl({ method: 'POST', path: '/repositories', json: { name, spec } })}
      />
    </Modal>
  )
}
