import { DeleteOutlined, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { App as AntApp, AutoComplete, Button, Form, Modal, Select, Table, Tag, type TableColumnsType } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useMay } from '@/api/may'
import type { Member, Role } from '@/api/model'
import { asProblem } from '@/api/problem'
import { usersQuery } from '@/api/registry'
import { commandLine, curl } from '@/shared/lib/shell'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { FoldedSameAs } from '@/shared/ui/FoldedSameAs'
import { SameAs } from '@/shared/ui/SameAs'
import { membersQuery, useRemoveMember, useSetMember } from './queries'
import { tenantRoles } from './rules'

export interface TenantLike {
  id: string
  name: string
}

/** Who has which role in a tenant; owners and administrators change it. */
export function Members({ tenant, editable }: { tenant: TenantLike; editable: boolean }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const members = useQuery(membersQuery(tenant.id))
  const set = useSetMember(tenant.id)
  const [adding, setAdding] = useState(false)
  const [removing, setRemoving] = useState<Member | null>(null)
  const change = (member: Member, role: Role) =>
    set.mutate(
      { user: member.userId, role },
      {
        onSuccess: () => message.success(t('member.changed', { name: member.name, role: t(`role.${role}`) })),
      },
    )
  const columns: TableColumnsType<Member> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, member) => (
        <span className="sk-namecell">
          <span>
            <span className="sk-name">{member.name}</span>
            {member.displayName && <span className="sk-muted"> {member.displayName}</span>}
          </span>
          {member.disabled && <Tag>{t('user.disabled')}</Tag>}
        </span>
      ),
    },
    {
      key: 'role',
      title: t('column.role'),
      width: 200,
      render: (_, member) =>
        editable ? (
          <Select size="small" style={{ width: 150 }} aria-label={t('member.roleOf', { name: member.name })} value={member.role} disabled={set.isPending} onChange={(role) => change(member, role)} options={tenantRoles.map((role) => ({ value: role as Role, label: t(`role.${role}`) }))} />
        ) : (
          t(`role.${member.role}`)
        ),
    },
    {
      key: 'actions',
      title: <span className="sk-visually-hidden">{t('column.actions')}</span>,
      align: 'right',
      width: 64,
      render: (_, member) => editable && <Button type="text" icon={<DeleteOutlined />} aria-label={t('member.remove', { name: member.name })} title={t('action.remove')} onClick={() => setRemoving(member)} />,
    },
  ]
  const add = (
    <Button type="primary" icon={<PlusOutlined />} onClick={() => setAdding(true)}>
      {t('member.add')}
    </Button>
  )
  const none = members.data?.items.length === 0
  return (
    <>
      {members.isError && <ProblemAlert problem={asProblem(members.error)} retry={() => void members.refetch()} />}
      {set.isError && <ProblemAlert problem={asProblem(set.error)} />}
      {none ? (
        <Section>
          <EmptyState sentence={t('member.none')} action={editable ? add : undefined} command={editable ? commandLine('skerry', 'user', 'grant', 'NAME', `${tenant.name}=developer`) : undefined} />
        </Section>
      ) : (
        <Section title={t('member.title')} extra={editable ? add : undefined} flush>
          <Table rowKey="userId" size="middle" columns={columns} dataSource={members.data?.items} loading={members.isPending} pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }} locale={{ emptyText: ' ' }} />
        </Section>
      )}
      {adding && <AddMember tenant={tenant} present={(members.data?.items ?? []).map((member) => member.name)} onClose={() => setAdding(false)} />}
      {removing && <RemoveMember tenant={tenant} member={removing} onClose={() => setRemoving(null)} />}
    </>
  )
}

function AddMember({ tenant, present, onClose }: { tenant: TenantLike; present: string[]; onClose: () => void }) {
  const { t } = useTranslation()
  const may = useMay()
  // Only platform roles may list users; owners type a name, and the server says whether there is such a one.
  const users = useQuery({ ...usersQuery, enabled: may('platform.read') })
  const [form] = Form.useForm<{ user: string; role: Role }>()
  const user = (Form.useWatch('user', form) ?? '').trim()
  const role = Form.useWatch('role', form) ?? 'developer'
  const set = useSetMember(tenant.id)
  const offered = (users.data?.items ?? []).filter(({ name }) => !present.includes(name))
  return (
    <Modal open title={t('member.addTitle', { name: tenant.name })} okText={t('member.add')} cancelText={t('action.cancel')} confirmLoading={set.isPending} onCancel={onClose} onOk={() => form.submit()}>
      {set.isError && <ProblemAlert problem={asProblem(set.error)} />}
      <Form form={form} layout="vertical" requiredMark={false} initialValues={{ role: 'developer' }} onFinish={(values) => set.mutate({ user: values.user.trim(), role: values.role }, { onSuccess: onClose })}>
        <Form.Item name="user" label={t('signIn.name')} extra={t('member.userHelp')} rules={[{ required: true, whitespace: true, message: t('signIn.nameMissing') }]}>
          <AutoComplete autoFocus options={offered.map(({ name, spec }) => ({ value: name, label: spec.displayName ? `${name} (${spec.displayName})` : name }))} showSearch={{ filterOption: (typed, option) => String(option?.label ?? '').toLowerCase().includes(typed.toLowerCase()) }} />
        </Form.Item>
        <Form.Item name="role" label={t('column.role')} extra={t(`roleHelp.${role}`)}>
          <Select options={tenantRoles.map((each) => ({ value: each, label: t(`role.${each}`) }))} />
        </Form.Item>
      </Form>
      <FoldedSameAs cli={commandLine('skerry', 'user', 'grant', user || 'NAME', `${tenant.name}=${role}`)} api={curl({ method: 'PUT', path: `/tenants/${encodeURIComponent(tenant.name)}/members/${encodeURIComponent(user || 'NAME')}`, json: { role } })} />
    </Modal>
  )
}

function RemoveMember({ tenant, member, onClose }: { tenant: TenantLike; member: Member; onClose: () => void }) {
  const { t } = useTranslation()
  const remove = useRemoveMember(tenant.id)
  return (
    <ConfirmDialog
      title={t('member.removeTitle', { name: member.name, tenant: tenant.name })}
      submit={t('action.remove')}
      pending={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
      extra={<SameAs compact cli={commandLine('skerry', 'user', 'revoke', member.name, tenant.name)} api={curl({ method: 'DELETE', path: `/tenants/${encodeURIComponent(tenant.name)}/members/${encodeURIComponent(member.name)}` })} />}
      onClose={onClose}
      onSubmit={() => remove.mutate(member.userId, { onSuccess: onClose })}
    >
      <p>{t('member.removeConsequence', { name: member.name })}</p>
    </ConfirmDialog>
  )
}
