import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Button, Popconfirm, Table, type TableColumnsType } from 'antd'
import { useTranslation } from 'react-i18next'
import type { JoinToken } from '@/api/model'
import { useMay } from '@/api/may'
import { asProblem } from '@/api/problem'
import { environmentsQuery } from '@/api/queries'
import { Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { Time } from '@/shared/ui/Time'
import { joinTokensQuery, useRevokeJoinToken } from './queries'

/** The join tokens that are known, and what has become of each; nothing while there is none. */
export function JoinTokens() {
  const { t } = useTranslation()
  const may = useMay()
  const { message } = AntApp.useApp()
  const tokens = useQuery({ ...joinTokensQuery, enabled: may('platform.read'), refetchInterval: 15_000 })
  const environments = useQuery(environmentsQuery)
  const revoke = useRevokeJoinToken()
  const items = [...(tokens.data?.items ?? [])].sort((a, b) => b.createdAt.localeCompare(a.createdAt))
  if (tokens.isError && !tokens.data) return <ProblemAlert problem={asProblem(tokens.error)} retry={() => void tokens.refetch()} />
  if (items.length === 0) return null
  const columns: TableColumnsType<JoinToken> = [
    { key: 'name', title: t('join.token'), render: (_, token) => <code>{token.name}</code> },
    { key: 'state', title: t('column.status'), render: (_, { state }) => <span className={state === 'usable' ? 'sk-tone-green' : 'sk-muted'}>{t(`join.state.${state}`)}</span> },
    { key: 'role', title: t('column.role'), render: (_, { role }) => t(`nodes.role.${role}`) },
    { key: 'environment', title: t('join.environment'), responsive: ['lg'], render: (_, { environmentId }) => environments.data?.items.find(({ id }) => id === environmentId)?.name ?? environmentId },
    { key: 'used', title: t('join.usedTitle'), align: 'right', responsive: ['sm'], render: (_, { used, uses }) => <span className="sk-number">{`${used} / ${uses}`}</span> },
    { key: 'expires', title: t('column.expires'), align: 'right', responsive: ['sm'], render: (_, { expiresAt }) => <span className="sk-nowrap"><Time at={expiresAt} future /></span> },
    { key: 'by', title: t('join.by'), responsive: ['md'], render: (_, { createdBy }) => createdBy },
    {
      key: 'revoke',
      title: <span className="sk-visually-hidden">{t('column.actions')}</span>,
      align: 'right',
      render: (_, token) =>
        token.state === 'usable' && may('platform.write') ? (
          <Popconfirm
            title={t('join.revokeTitle', { name: token.name })}
            description={t('join.revokeHelp')}
            okText={t('join.revoke')}
            cancelText={t('action.cancel')}
            okButtonProps={{ danger: true }}
            onConfirm={() => revoke.mutate(token.id, { onError: (error) => void message.error(asProblem(error).message, 10) })}
          >
            <Button size="small" danger type="text" aria-label={t('join.revokeOf', { name: token.name })}>
              {t('join.revoke')}
            </Button>
          </Popconfirm>
        ) : null,
    },
  ]
  return (
    <Section title={t('join.tokens')} flush>
      <Table rowKey="id" size="middle" columns={columns} dataSource={items} pagination={{ pageSize: 20, hideOnSinglePage: true, showSizeChanger: false }} />
    </Section>
  )
}
