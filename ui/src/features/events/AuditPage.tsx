import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { Button, Input, Select, Table, type TableColumnsType } from 'antd'
import { useTranslation } from 'react-i18next'
import { answer, api } from '@/api/client'
import type { AuditEntry } from '@/api/model'
import { may } from '@/api/may'
import { asProblem } from '@/api/problem'
import { sessionQuery } from '@/api/queries'
import { useListState } from '@/shared/lib/listState'
import { commandLine, curl } from '@/shared/lib/shell'
import { CopyButton } from '@/shared/ui/CopyButton'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'
import { Time } from '@/shared/ui/Time'

interface Filter {
  actor?: string
  operation?: string
  since?: string
  tenant?: string
}

const spans = ['1h', '24h', '168h', '720h'] as const

/** Who changed what, newest first, for those who may see it. */
export default function AuditPage() {
  const { t } = useTranslation()
  const session = useQuery(sessionQuery)
  const list = useListState('')
  const oversees = may(session.data, 'platform.read', '')
  const filter: Filter = { actor: list.of('actor') || undefined, operation: list.of('operation') || undefined, since: list.of('since') || undefined, tenant: oversees && list.of('all') !== 'false' ? '*' : undefined }
  const audit = useInfiniteQuery({
    // No event tells of it, so it is asked anew whenever one comes back to it.
    queryKey: ['audit', filter],
    staleTime: 0,
    queryFn: ({ signal, pageParam }) => answer(api.GET('/audit', { params: { query: { ...filter, limit: 100, ...(pageParam ? { cursor: pageParam } : {}) } }, signal })),
    initialPageParam: '',
    getNextPageParam: (last) => last.nextCursor || undefined,
  })
  const entries = audit.data?.pages.flatMap(({ items }) => items)
  const columns: TableColumnsType<AuditEntry> = [
    { key: 'time', title: t('audit.time'), width: 130, render: (_, { time }) => <span className="sk-nowrap"><Time at={time} /></span> },
    {
      key: 'actor',
      title: t('audit.actor'),
      render: (_, { actor, tokenId }) => (
        <span>
          {/* Without a name: a request that was refused before anybody signed in. There is nothing to filter by. */}
          {actor ? (
            <button type="button" className="sk-linkbutton" onClick={() => list.set('actor', actor)}>
              {actor}
            </button>
          ) : (
            <span className="sk-muted">{t('audit.nobody')}</span>
          )}
          {tokenId && <span className="sk-muted"> {t('audit.byToken')}</span>}
        </span>
      ),
    },
    {
      key: 'operation',
      title: t('audit.operation'),
      render: (_, { operation, command }) => (
        <span>
          {operation && (
            <button type="button" className="sk-linkbutton" onClick={() => list.set('operation', operation)}>
              <code>{operation}</code>
            </button>
          )}
          {command && command !== operation && <span className="sk-muted"> {command}</span>}
          {!operation && !command && '–'}
        </span>
      ),
    },
    { key: 'object', title: t('audit.object'), render: (_, { object }) => <span className="sk-break">{object || '–'}</span> },
    {
      key: 'outcome',
      title: t('audit.outcome'),
      render: (_, { refused }) =>
        refused ? (
          <span className="sk-audit-refused">
            {t('audit.refused')}{t('plan.colon')}
            {refused}
          </span>
        ) : (
          <span className="sk-muted">{t('audit.done')}</span>
        ),
    },
    {
      key: 'from',
      title: t('audit.from'),
      responsive: ['lg'],
      render: (_, { remoteIp, requestId }) => (
        <span className="sk-nowrap sk-muted">
          {remoteIp || t('audit.local')}
          {requestId && <CopyButton text={requestId} label={t('audit.copyRequest')} />}
        </span>
      ),
    },
  ]
  const query = Object.fromEntries(Object.entries(filter).filter(([, value]) => value)) as Record<string, string>
  return (
    <Page
      title={t('nav.audit')}
      plainTitle={t('nav.audit')}
      actions={
        <SameAs
          cli={commandLine('skerry', 'audit', ...(filter.actor ? ['--actor', filter.actor] : []), ...(filter.operation ? ['--operation', filter.operation] : []), ...(filter.since ? ['--since', filter.since] : []), ...(filter.tenant ? ['--tenant', filter.tenant] : []))}
          api={curl({ path: `/audit?${new URLSearchParams({ limit: '100', ...query }).toString()}` })}
        />
      }
    >
      <div className="sk-toolbar">
        <Input.Search key={`a-${list.of('actor')}`} allowClear style={{ width: 180 }} placeholder={t('audit.actor')} aria-label={t('audit.actor')} defaultValue={list.of('actor')} onSearch={(value) => list.set('actor', value.trim())} />
        <Input.Search key={`o-${list.of('operation')}`} allowClear style={{ width: 200 }} placeholder={t('audit.operation')} aria-label={t('audit.operation')} defaultValue={list.of('operation')} onSearch={(value) => list.set('operation', value.trim())} />
        <Select style={{ minWidth: 140 }} aria-label={t('audit.since')} value={list.of('since')} onChange={(value) => list.set('since', value)} options={[{ value: '', label: t('audit.ever') }, ...spans.map((span) => ({ value: span, label: t(`audit.spans.${span}`) }))]} />
        {oversees && (
          <Select
            style={{ minWidth: 150 }}
            aria-label={t('audit.reach')}
            value={list.of('all') === 'false' ? 'false' : ''}
            onChange={(value) => list.set('all', value)}
            options={[
              { value: '', label: t('audit.everyTenant') },
              { value: 'false', label: t('audit.thisTenant') },
            ]}
          />
        )}
      </div>
      {audit.isError && <ProblemAlert problem={asProblem(audit.error)} retry={() => void audit.refetch()} />}
      <Section flush>
        <Table
          rowKey={(entry) => `${entry.index}-${entry.operation}-${entry.requestId ?? ''}-${entry.object ?? ''}`}
          size="middle"
          columns={columns}
          dataSource={entries}
          loading={audit.isPending}
          pagination={false}
          scroll={{ x: 720 }}
          locale={{ emptyText: entries ? t('audit.none') : ' ' }}
        />
      </Section>
      {audit.hasNextPage && (
        <Button loading={audit.isFetchingNextPage} onClick={() => void audit.fetchNextPage()}>
          {t('event2.more')}
        </Button>
      )}
    </Page>
  )
}
