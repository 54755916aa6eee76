import { useQuery } from '@tanstack/react-query'
import { Button, Input, Select } from 'antd'
import { useMemo } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { Container, Service } from '@/api/model'
import { asProblem } from '@/api/problem'
import { containersQuery, servicesQuery } from '@/api/queries'
import { useScopeEnvironment } from '@/api/scope'
import { newest, useServiceSpark } from '@/api/sparks'
import { serviceWord } from '@/api/status'
import { Sparkline } from '@/shared/charts/Sparkline'
import { formatBytes, formatCores } from '@/shared/lib/format'
import { shortImage } from '@/shared/lib/image'
import { sortedBy, useListState } from '@/shared/lib/listState'
import { statusWords } from '@/shared/lib/status'
import { EmptyState } from '@/shared/ui/EmptyState'
import { Page, Section } from '@/shared/ui/Page'
import { Ports } from '@/shared/ui/Ports'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import { VirtualTable, type VirtualColumn } from '@/shared/ui/VirtualTable'

const filterable = statusWords.filter((word) => !['updating', 'draining', 'unknown'].includes(word))

/** Every service of the tenant. */
export default function ServiceListPage() {
  const { t } = useTranslation()
  const services = useQuery(servicesQuery())
  const containers = useQuery(containersQuery({}))
  const environment = useScopeEnvironment()
  const list = useListState('name')
  const wanted = list.of('q').toLowerCase()
  const status = list.of('status')
  const { key: sortKey, down: sortDown } = list.sort
  const parts = useMemo(() => byService(containers.data?.items), [containers.data])
  const rows = useMemo(() => {
    const word = (service: Service) => serviceWord(service, parts.get(service.id) ?? [])
    const fits = (service: Service) =>
      (!wanted || service.name.includes(wanted) || service.appName.includes(wanted) || shortImage(service.spec.container.image).includes(wanted)) && (!status || word(service) === status) && (!environment || service.environmentId === environment)
    return sortedBy((services.data?.items ?? []).filter(fits), { key: sortKey, down: sortDown }, {
      app: ({ appName }) => appName,
      image: ({ spec }) => shortImage(spec.container.image),
      replicas: ({ spec }) => spec.replicas,
      age: ({ createdAt }) => -Date.parse(createdAt),
    })
  }, [services.data, parts, wanted, status, environment, sortKey, sortDown])
  const columns = useMemo<VirtualColumn<Service>[]>(
    () => [
      {
        key: 'name',
        title: t('column.name'),
        width: 'minmax(0, 2.4fr)',
        sortable: true,
        render: (service) => (
          <span className="sk-namecell sk-namecell-line">
            <StatusBadge status={serviceWord(service, parts.get(service.id) ?? [])} />
            <Link className="sk-name" to={`/services/${encodeURIComponent(service.id)}`}>
              {service.name}
            </Link>
          </span>
        ),
      },
      { key: 'app', title: t('column.app'), width: 'minmax(90px, 1fr)', sortable: true, render: (service) => <Link to={`/apps/${encodeURIComponent(service.appName)}`}>{service.appName}</Link> },
      { key: 'replicas', title: t('column.replicas'), width: '76px', align: 'right', sortable: true, render: ({ status, spec }) => <span className="sk-number">{status.running}/{spec.replicas}</span> },
      { key: 'image', title: t('column.image'), width: 'minmax(100px, 1.8fr)', from: 'md', sortable: true, render: ({ spec }) => <span title={spec.container.image}>{shortImage(spec.container.image)}</span> },
      { key: 'ports', title: t('column.ports'), width: 'minmax(64px, 1fr)', from: 'sm', render: ({ ports }) => <Ports ports={ports} /> },
      { key: 'cpu', title: t('measure.cpuShort'), width: '124px', align: 'right', from: 'lg', render: (service) => <ServiceLoad service={service} of="cpu" /> },
      { key: 'memory', title: t('measure.memory'), width: '144px', align: 'right', from: 'lg', render: (service) => <ServiceLoad service={service} of="memory" /> },
      { key: 'age', title: t('column.age'), width: '110px', align: 'right', from: 'md', sortable: true, render: ({ createdAt }) => <Time at={createdAt} /> },
    ],
    [t, parts],
  )
  const none = services.data?.items.length === 0
  return (
    <Page title={t('nav.services')} plainTitle={t('nav.services')}>
      {services.isError && <ProblemAlert problem={asProblem(services.error)} retry={() => void services.refetch()} />}
      {none ? (
        <Section>
          <EmptyState
            sentence={t('service.empty')}
            action={
              <Link to="/apps/new">
                <Button type="primary">{t('apps.deploy')}</Button>
              </Link>
            }
            command="skerry run -n hello -p :80 welcome"
          />
        </Section>
      ) : (
        <>
          <div className="sk-toolbar">
            <Input.Search allowClear style={{ width: 260 }} placeholder={t('service.filter')} aria-label={t('service.filter')} value={list.of('q')} onChange={(event) => list.set('q', event.target.value)} />
            <Select
              style={{ width: 150 }}
              aria-label={t('column.status')}
              value={status}
              onChange={(value) => list.set('status', value)}
              options={[{ value: '', label: t('apps.allStatus') }, ...filterable.map((word) => ({ value: word, label: t(`status.${word}`) }))]}
            />
          </div>
          <section className="sk-section">
            {services.isPending ? null : rows.length === 0 ? (
              <p className="sk-muted sk-section-body">{t('service.noMatch')}</p>
            ) : (
              <VirtualTable label={t('nav.services')} rows={rows} rowKey={rowKey} rowName={rowName} columns={columns} sort={list.sort} onSort={list.setSort} />
            )}
          </section>
          {services.data?.nextCursor && <p className="sk-muted">{t('list.cut', { count: services.data.items.length })}</p>}
        </>
      )}
    </Page>
  )
}

const rowKey = ({ id }: Service) => id
const rowName = ({ name }: Service) => name

function byService(containers: Container[] | undefined): Map<string, Container[]> {
  const parts = new Map<string, Container[]>()
  for (const container of containers ?? []) {
    const own = parts.get(container.serviceId)
    if (own) own.push(container)
    else parts.set(container.serviceId, [container])
  }
  return parts
}

/** What a service uses now and used lately, over all its containers. */
function ServiceLoad({ service, of }: { service: Service; of: 'cpu' | 'memory' }) {
  const running = service.status.running > 0
  const ids = useMemo(() => [service.id], [service.id])
  const spark = useServiceSpark(ids, running)
  const values = spark?.[of] ?? []
  const now = newest(values)
  if (now === null || !running) return <span className="sk-muted">–</span>
  return (
    <span className="sk-load">
      <Sparkline values={values} width={56} />
      <span className="sk-number">{of === 'cpu' ? formatCores(now) : formatBytes(now)}</span>
    </span>
  )
}
