import { useQuery } from '@tanstack/react-query'
import { Button, Checkbox, Input, Select } from 'antd'
import { useMemo } from 'react'
import { useTranslation } from 'react-i18next'
import { useExistingLink } from '@/api/existing'
import { asProblem } from '@/api/problem'
import { appsQuery, eventsQuery } from '@/api/queries'
import { useListState } from '@/shared/lib/listState'
import { commandLine, curl } from '@/shared/lib/shell'
import { EventList } from '@/shared/ui/EventList'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAs } from '@/shared/ui/SameAs'

const kinds = ['app', 'service', 'container', 'image', 'repository', 'volume', 'node', 'user'] as const

/** What happened, newest first; the filters are in the address. */
export default function ListPage() {
  const { t } = useTranslation()
  const list = useListState('')
  const apps = useQuery(appsQuery)
  const warnings = list.of('warnings') === 'true'
  const kind = list.of('kind')
  const app = list.of('app')
  const typed = list.of('q').toLowerCase()
  const limit = Math.min(1000, Number(list.of('limit')) || 200)
  const events = useQuery(eventsQuery({ limit, ...(warnings ? { warnings } : {}), ...(kind ? { kind } : {}), ...(app ? { app } : {}) }))
  const items = useMemo(
    () => (typed ? events.data?.items.filter((event) => `${event.object} ${event.reason} ${event.message}`.toLowerCase().includes(typed)) : events.data?.items),
    [events.data, typed],
  )
  const refs = useMemo(() => items?.map(({ kind, objectId, object, appId }) => ({ kind, id: objectId, name: object, appId })), [items])
  const link = useExistingLink(refs)
  const filtered = Boolean(warnings || kind || app || typed)
  return (
    <Page
      title={t('nav.events')}
      plainTitle={t('nav.events')}
      actions={
        <SameAs
          cli={commandLine('skerry', 'event', ...(kind ? ['--kind', kind] : []), ...(app ? ['--app', app] : []), warnings && '--warnings', '-n', limit)}
          api={curl({ path: `/events?${new URLSearchParams({ limit: String(limit), ...(kind ? { kind } : {}), ...(app ? { app } : {}), ...(warnings ? { warnings: 'true' } : {}) }).toString()}` })}
        />
      }
    >
      <div className="sk-toolbar">
        <Input.Search allowClear style={{ width: 240 }} placeholder={t('event2.filter')} aria-label={t('event2.filter')} value={list.of('q')} onChange={(event) => list.set('q', event.target.value)} />
        <Select
          style={{ minWidth: 130 }}
          aria-label={t('event2.kind')}
          value={kind}
          onChange={(value) => list.set('kind', value)}
          options={[{ value: '', label: t('event2.anyKind') }, ...kinds.map((each) => ({ value: each, label: t(`palette.kind.${each}`) }))]}
        />
        <Select
          style={{ minWidth: 150 }}
          aria-label={t('column.app')}
          showSearch
          value={app}
          onChange={(value) => list.set('app', value)}
          options={[{ value: '', label: t('event2.anyApp') }, ...(apps.data?.items ?? []).map(({ name }) => ({ value: name, label: name }))]}
        />
        <Checkbox checked={warnings} onChange={(event) => list.set('warnings', event.target.checked ? 'true' : '')}>
          {t('events.onlyWarnings')}
        </Checkbox>
      </div>
      <Section flush>
        {events.isError ? (
          <ProblemAlert problem={asProblem(events.error)} retry={() => void events.refetch()} />
        ) : filtered && items?.length === 0 ? (
          <p className="sk-muted sk-section-body">{t('event2.noMatch')}</p>
        ) : (
          <EventList events={items} showReason objectLink={(event) => link({ kind: event.kind, id: event.objectId, name: event.object, appId: event.appId })} />
        )}
      </Section>
      {events.data && events.data.items.length >= limit && limit < 1000 && <Button onClick={() => list.set('limit', '1000')}>{t('event2.more')}</Button>}
    </Page>
  )
}
