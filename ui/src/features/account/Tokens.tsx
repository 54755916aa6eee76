import { useQuery } from '@tanstack/react-query'
import { Button, Table, type TableColumnsType } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useSearchParams } from 'react-router'
import type { ApiToken } from '@/api/model'
import { asProblem } from '@/api/problem'
import { sessionQuery } from '@/api/queries'
import { registryQuery, useCreateToken } from '@/api/registry'
import { loginWithToken } from '@/shared/lib/commands'
import { commandLine, curl } from '@/shared/lib/shell'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { Time } from '@/shared/ui/Time'
import { TokenDialog, tokenRoles } from '@/shared/ui/TokenDialog'
import { tokensQuery, useRevokeToken } from './queries'

/** What programs sign in with in the person's name. */
export function Tokens() {
  const { t } = useTranslation()
  const [search, setSearch] = useSearchParams()
  const tokens = useQuery(tokensQuery)
  const session = useQuery(sessionQuery)
  const [revoking, setRevoking] = useState<ApiToken | null>(null)
  const tenantName = (id: string) => session.data?.tenants.find((tenant) => tenant.id === id)?.name ?? id
  const columns: TableColumnsType<ApiToken> = [
    { key: 'name', title: t('column.name'), render: (_, token) => <span className="sk-name">{token.name}</span> },
    { key: 'role', title: t('column.role'), render: (_, token) => t(`role.${token.role}`) },
    { key: 'tenant', title: t('token.tenant'), responsive: ['sm'], render: (_, token) => (token.tenantId ? tenantName(token.tenantId) : t('token.everyTenant')) },
    { key: 'age', title: t('column.age'), responsive: ['lg'], render: (_, token) => <span className="sk-nowrap"><Time at={token.createdAt} /></span> },
    { key: 'expires', title: t('column.expires'), responsive: ['sm'], render: (_, token) => (token.expired ? t('token.expired') : token.expiresAt ? <span className="sk-nowrap"><Time at={token.expiresAt} future /></span> : t('token.never')) },
    {
      key: 'actions',
      align: 'right',
      title: <span className="sk-visually-hidden">{t('column.actions')}</span>,
      render: (_, token) => (
        <Button size="small" aria-label={t('token.revokeName', { name: token.name })} onClick={() => setRevoking(token)}>
          {t('token.revoke')}
        </Button>
      ),
    },
  ]
  return (
    <Section title={t('token.title')} extra={<Button size="small" onClick={() => setSearch({ do: 'token' }, { replace: true })}>{t('token.create')}</Button>} flush>
      {tokens.isError && <ProblemAlert problem={asProblem(tokens.error)} retry={() => void tokens.refetch()} />}
      <Table rowKey="id" size="middle" columns={columns} dataSource={tokens.data?.items} loading={tokens.isPending} pagination={false} locale={{ emptyText: tokens.isPending ? ' ' : t('token.none') }} />
      {search.get('do') === 'token' && <Create onClose={() => setSearch({}, { replace: true })} />}
      {revoking && <Revoke token={revoking} onClose={() => setRevoking(null)} />}
    </Section>
  )
}

function Create({ onClose }: { onClose: () => void }) {
  const session = useQuery(sessionQuery)
  const registry = useQuery(registryQuery)
  const create = useCreateToken()
  const me = session.data
  // A token can do what its owner can, at most: a person without a platform role is offered the tenant's roles only.
  const offered = tokenRoles.filter((role) => me?.platformRole === 'admin' || (role === 'auditor' && me?.platformRole === 'auditor') || !['admin', 'auditor'].includes(role))
  const host = registry.data?.hosts[0]
  return (
    <TokenDialog
      roles={offered}
      tenants={me?.tenants ?? []}
      pending={create.isPending}
      problem={create.isError ? asProblem(create.error) : null}
      secret={create.data?.token}
      use={host ? (secret) => [loginWithToken('docker', host, me?.name ?? 'USER', secret)] : undefined}
      onSubmit={(wish) => create.mutate(wish)}
      onClose={onClose}
    />
  )
}

function Revoke({ token, onClose }: { token: ApiToken; onClose: () => void }) {
  const { t } = useTranslation()
  const revoke = useRevokeToken()
  return (
    <ConfirmDialog
      title={t('token.revokeTitle', { name: token.name })}
      submit={t('token.revoke')}
      pending={revoke.isPending}
      problem={revoke.isError ? asProblem(revoke.error) : null}
      extra={<SameAs compact cli={commandLine('skerry', 'api-token', 'revoke', token.id)} api={curl({ method: 'DELETE', path: `/api-tokens/${token.id}` })} />}
      onClose={onClose}
      onSubmit={() => revoke.mutate(token.id, { onSuccess: onClose })}
    >
      <p>{t('token.revokeConsequence')}</p>
    </ConfirmDialog>
  )
}
