import { Button, InputNumber, Space, Table, type TableColumnsType } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { Container, Service } from '@/api/model'
import { asProblem } from '@/api/problem'
import { containerWord } from '@/api/status'
import { formatBytes, formatCores } from '@/shared/lib/format'
import { shortDigest, shortImage } from '@/shared/lib/image'
import type { StatusWord } from '@/shared/lib/status'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Ports } from './Ports'
import { useScale } from './queries'

/** The word for a service: what its own status and its containers say. */
function serviceWord(service: Service, containers: Container[]): StatusWord {
  if (service.removing) return 'removing'
  const { running, conditions } = service.status
  if (service.stopped) return running > 0 ? 'stopping' : 'stopped'
  if (running >= service.spec.replicas) return service.spec.replicas === 0 ? 'stopped' : 'running'
  const own = containers.filter((container) => container.serviceId === service.id).map(containerWord)
  if ((conditions && conditions.length > 0) || own.includes('failed')) return running > 0 ? 'degraded' : 'failed'
  if (own.length > 0 && own.every((word) => word === 'completed')) return 'completed'
  return 'starting'
}

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
          <span className="sk-name">{service.name}</span>
        </span>
      ),
    },
    {
      key: 'image',
      title: t('column.image'),
      responsive: ['md'],
      render: (_, { spec }) => <span title={spec.container.image}>{shortImage(spec.container.image)}{spec.container.imageDigest && <span className="sk-muted"> {shortDigest(spec.container.imageDigest)}</span>}</span>,
    },
    { key: 'ports', title: t('column.ports'), render: (_, service) => <Ports ports={service.ports} /> },
    {
      key: 'limits',
      title: t('column.limits'),
      responsive: ['lg'],
      render: (_, { spec }) => (
        <span className="sk-number">
          {spec.container.cpuMillis ? t('measure.cores', { count: spec.container.cpuMillis / 1000, shown: formatCores(spec.container.cpuMillis / 1000) }) : t('measure.noCpuLimit')}
          {' · '}
          {spec.container.memoryBytes ? formatBytes(spec.container.memoryBytes) : t('measure.noMemoryLimit')}
        </span>
      ),
    },
    { key: 'replicas', title: t('column.replicas'), align: 'right', render: (_, service) => <Replicas service={service} /> },
  ]
  return <Table rowKey="id" size="middle" columns={columns} dataSource={services} loading={!services} pagination={false} locale={{ emptyText: services ? t('app.noServices') : ' ' }} />
}

/** The replicas that run of those asked for, and the number asked for to change. */
function Replicas({ service }: { service: Service }) {
  const { t } = useTranslation()
  const scale = useScale()
  /** What the person has typed; undefined is nothing yet, null an emptied field. */
  const [draft, setDraft] = useState<number | null | undefined>(undefined)
  const wanted = draft === undefined ? service.spec.replicas : draft
  const changed = wanted !== null && wanted !== service.spec.replicas
  const apply = () => {
    if (changed) scale.mutate({ service, replicas: wanted }, { onSuccess: () => setDraft(undefined) })
    else setDraft(undefined)
  }
  return (
    <div>
      <Space wrap style={{ justifyContent: 'flex-end' }}>
        <span className="sk-number">
          {service.status.running}/{service.spec.replicas}
        </span>
        <InputNumber
          min={0}
          max={1000}
          precision={0}
          style={{ width: 76 }}
          aria-label={t('app.replicasOf', { name: service.name })}
          value={wanted}
          disabled={scale.isPending || service.removing}
          onChange={(value) => setDraft(value)}
          onPressEnter={apply}
        />
        {changed && (
          <Button type="primary" loading={scale.isPending} onClick={apply}>
            {t('app.scaleTo', { count: wanted })}
          </Button>
        )}
      </Space>
      {scale.isError && <ProblemAlert problem={asProblem(scale.error)} />}
    </div>
  )
}
