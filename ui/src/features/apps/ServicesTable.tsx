import { Table, type TableColumnsType } from 'antd'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { Container, Service } from '@/api/model'
import { serviceWord } from '@/api/status'
import { formatBytes, formatCores } from '@/shared/lib/format'
import { shortDigest, shortImage } from '@/shared/lib/image'
import { Ports } from '@/shared/ui/Ports'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Replicas } from './Replicas'

/** The services of an app with their replicas, which can be changed in place. */
export function ServicesTable({ services, containers }: { services: Service[] | undefined; containers: Container[] }) {
  const { t } = useTranslation()
  const columns: TableColumnsType<Service> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, service) => (
        <span className="sk-namecell">
          <StatusBadge status={serviceWord(service, containers)} />
          <Link className="sk-name" to={`/services/${encodeURIComponent(service.id)}`}>
            {service.name}
          </Link>
        </span>
      ),
    },
    {
      key: 'image',
      title: t('column.image'),
      responsive: ['md'],
      render: (_, { spec }) => (
        <span title={spec.container.image}>
          {shortImage(spec.container.image)}
          {spec.container.imageDigest && <span className="sk-muted"> {shortDigest(spec.container.imageDigest)}</span>}
        </span>
      ),
    },
    { key: 'ports', title: t('column.ports'), render: (_, service) => <Ports ports={service.ports} /> },
    { key: 'limits', title: t('column.limits'), responsive: ['lg'], render: (_, service) => <Limits service={service} /> },
    { key: 'replicas', title: t('column.replicas'), align: 'right', render: (_, service) => <Replicas service={service} /> },
  ]
  return <Table rowKey="id" size="middle" columns={columns} dataSource={services} loading={!services} pagination={false} locale={{ emptyText: services ? t('app.noServices') : ' ' }} />
}

/** What each container of a service may use. */
export function Limits({ service: { spec } }: { service: Service }) {
  const { t } = useTranslation()
  return (
    <span className="sk-number">
      {spec.container.cpuMillis ? t('measure.cores', { count: spec.container.cpuMillis / 1000, shown: formatCores(spec.container.cpuMillis / 1000) }) : t('measure.noCpuLimit')}
      {' · '}
      {spec.container.memoryBytes ? formatBytes(spec.container.memoryBytes) : t('measure.noMemoryLimit')}
    </span>
  )
}
