import { Button, InputNumber, Space, Table, type TableColumnsType } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { Service } from '@/api/model'
import { asProblem } from '@/api/problem'
import { formatBytes, formatCores } from '@/shared/lib/format'
import { shortDigest, shortImage } from '@/shared/lib/image'
import type { StatusWord } from '@/shared/lib/status'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Ports } from './Ports'
import { useScale } from './queries'

function serviceWord(service: Service): StatusWord {
  if (service.removing) return 'removing'
  const { running, conditions } = service.status
  if (service.stopped) return running > 0 ? 'stopping' : 'stopped'
  if (running >= service.spec.replicas) return service.spec.replicas === 0 ? 'stopped' : 'running'
  if (conditions && conditions.length > 0) return running > 0 ? 'degraded' : 'failed'
  return 'starting'
}

/** The services of an app with their replicas, which can be changed in place. */
export function ServicesTable({ services }: { services: Service[] | undefined }) {
  const { t } = useTranslation()
  const columns: TableColumnsType<Service> = [
    {
      key: 'name',
      title: t('column.name'),
      render: (_, service) => (
        <span className="sk-namecell">
          <StatusBadge status={serviceWord(service)} />
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
  const [draft, setDraft] = useState<number | null>(null)
  const wanted = draft ?? service.spec.replicas
  const apply = () => {
    if (wanted !== service.spec.replicas) scale.mutate({ service, replicas: wanted }, { onSuccess: () => setDraft(null) })
    else setDraft(null)
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
        {wanted !== service.spec.replicas && (
          <Button type="primary" loading={scale.isPending} onClick={apply}>
            {t('app.scaleTo', { count: wanted })}
          </Button>
        )}
      </Space>
      {scale.isError && <ProblemAlert problem={asProblem(scale.error)} />}
    </div>
  )
}
