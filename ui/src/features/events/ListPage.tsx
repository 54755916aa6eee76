import { useQuery } from '@tanstack/react-query'
import { Checkbox } from 'antd'
import { useTranslation } from 'react-i18next'
import { useSearchParams } from 'react-router'
import { asProblem } from '@/api/problem'
import { eventsQuery } from '@/api/queries'
import { EventList } from '@/shared/ui/EventList'
import { Page, Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'

export default function ListPage() {
  const { t } = useTranslation()
  const [search, setSearch] = useSearchParams()
  const warnings = search.get('warnings') === 'true'
  const events = useQuery(eventsQuery({ limit: 200, ...(warnings ? { warnings } : {}) }))
  const link = (kind: string, id: string) => (kind === 'app' ? `/apps/${encodeURIComponent(id)}` : kind === 'node' ? `/nodes/${encodeURIComponent(id)}` : undefined)
  return (
    <Page title={t('nav.events')} plainTitle={t('nav.events')}>
      <div className="sk-toolbar">
        <Checkbox checked={warnings} onChange={(event) => setSearch(event.target.checked ? { warnings: 'true' } : {}, { replace: true })}>
          {t('events.onlyWarnings')}
        </Checkbox>
      </div>
      <Section flush>{events.isError ? <ProblemAlert problem={asProblem(events.error)} /> : <EventList events={events.data?.items} objectLink={link} />}</Section>
    </Page>
  )
}
