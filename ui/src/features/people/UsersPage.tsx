import { MoreOutlined, PlusOutlined } from '@/shared/ui/icons'
import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Dropdown, Input, Table, Tag, type TableColumnsType } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useSearchParams } from 'react-router'
import { useMay } from '@/api/may'
import type { User } from '@/api/model'
import { asProblem } from '@/api/problem'
import { tenantsQuery, usersQuery } from '@/api/registry'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Time } from '@/shared/ui/Time'
import { useDisableUser } from './queries'
import { CreateUserDialog, DisableUserDialog, EditUserDialog, RemoveUserDialog, ResetPasswordDialog } from './UserDialogs'

export default function UsersPage() {
  const { t } = useTranslation()
  const may = useMay()
  const users = useQuery(usersQuery)
  const tenants = useQuery(tenantsQuery)
  const [search, setSearch] = useSearchParams()
  const [dialog, setDialog] = useState<{ kind: 'edit' | 'reset' | 'disable' | 'remove'; user: User } | null>(null)
  const set = (name: string, value: string) =>
    setSearch(
      (old) => {
        if (value) old.set(name, value)
        else old.delete(name)
        return old
      },
      { replace: true },
    )
  const wanted = (search.get('q') ?? '').toLowerCase()
  const rows = useMemo(() => (users.data?.items ?? []).filter((user) => user.name.includes(wanted) || (user.spec.displayName ?? '').toLowerCase().includes(wanted)).sort((a, b) => a.name.localeCompare(b.name)), [users.data, wanted])
  const mayWrite = may('platform.write')
  const tenantName = (id: string) => tenants.data?.items.find((tenant) => tenant.id === id)?.name ?? id
  const columns: TableColumnsType<User> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, user) => (
        <span className="sk-namecell">
          <span>
            <span className="sk-name">{user.name}</span>
            {user.spec.displayName && <span className="sk-muted"> {user.spec.displayName}</span>}
          </span>
          {user.spec.disabled && <Tag>{t('user.disabled')}</Tag>}
        </span>
      ),
    },
    { key: 'platform', title: t('user.platformRole'), responsive: ['sm'], render: (_, user) => (user.spec.platformRole ? t(`role.${user.spec.platformRole}`) : '–') },
    { key: 'tenants', title: t('user.tenantRoles'), responsive: ['md'], render: (_, user) => (Object.keys(user.spec.tenants ?? {}).length === 0 ? '–' : Object.entries(user.spec.tenants ?? {}).map(([id, role]) => <div key={id}>{`${tenantName(id)}: ${t(`role.${role}`)}`}</div>)) },
    { key: 'sessions', title: t('user.sessions'), align: 'right', responsive: ['lg'], render: (_, user) => <span className="sk-number">{user.status.sessions}</span> },
    { key: 'age', title: t('column.age'), align: 'right', responsive: ['lg'], render: (_, user) => <span className="sk-nowrap"><Time at={user.createdAt} /></span> },
    {
      key: 'actions',
      title: <span className="sk-visually-hidden">{t('column.actions')}</span>,
      align: 'right',
      width: 64,
      render: (_, user) => mayWrite && <Actions user={user} onChoose={(kind) => setDialog({ kind, user })} />,
    },
  ]
  return (
    <Page
      title={t('nav.users')}
      plainTitle={t('nav.users')}
      actions={
        mayWrite && (
          <Button type="primary" icon={<PlusOutlined />} onClick={() => set('do', 'create')}>
            {t('user.create')}
          </Button>
        )
      }
    >
      {users.isError && <ProblemAlert problem={asProblem(users.error)} retry={() => void users.refetch()} />}
      <div className="sk-toolbar">
        <Input.Search allowClear style={{ width: 260 }} placeholder={t('images.filter')} aria-label={t('images.filter')} value={search.get('q') ?? ''} onChange={(event) => set('q', event.target.value)} />
      </div>
      <Section flush>
        <Table rowKey="id" size="middle" columns={columns} dataSource={rows} loading={users.isPending} pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }} locale={{ emptyText: users.isPending ? ' ' : t('user.noMatch') }} />
      </Section>
      {search.get('do') === 'create' && mayWrite && <CreateUserDialog onClose={() => set('do', '')} />}
      {dialog?.kind === 'edit' && <EditUserDialog user={dialog.user} onClose={() => setDialog(null)} />}
      {dialog?.kind === 'reset' && <ResetPasswordDialog user={dialog.user} onClose={() => setDialog(null)} />}
      {dialog?.kind === 'disable' && <DisableUserDialog user={dialog.user} onClose={() => setDialog(null)} />}
      {dialog?.kind === 'remove' && <RemoveUserDialog user={dialog.user} onClose={() => setDialog(null)} />}
    </Page>
  )
}

function Actions({ user, onChoose }: { user: User; onChoose: (kind: 'edit' | 'reset' | 'disable' | 'remove') => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const enable = useDisableUser(user)
  return (
    <Dropdown
      trigger={['click']}
      menu={{
        items: [
          { key: 'edit', label: t('edit.edit'), onClick: () => onChoose('edit') },
          { key: 'reset', label: t('user.reset'), onClick: () => onChoose('reset') },
          user.spec.disabled
            ? {
                key: 'enable',
                label: t('user.enable'),
                onClick: () =>
                  enable.mutate(false, {
                    onSuccess: () => message.success(t('user.enabled', { name: user.name })),
                    onError: (error) => {
                      const problem = asProblem(error)
                      message.error(`${problem.message} (${[problem.code, problem.requestId].filter(Boolean).join(' ')})`, 10)
                    },
                  }),
              }
            : { key: 'disable', label: t('user.disable'), danger: true, onClick: () => onChoose('disable') },
          { key: 'remove', label: t('action.remove'), danger: true, onClick: () => onChoose('remove') },
        ],
      }}
    >
      <Button type="text" icon={<MoreOutlined />} aria-label={t('user.actions', { name: user.name })} />
    </Dropdown>
  )
}
