import { Tag } from 'antd'
import { useTranslation } from 'react-i18next'
import type { ServiceSpec } from '@/api/model'
import { formatBytes, formatCores } from '@/shared/lib/format'
import { Facts, Section } from '@/shared/ui/Page'

/** Where the replicas of a service may run, what is kept free for each, and how many may be away at once. */
export function PlacementSection({ name, spec: { placement = {}, reserve = {}, maxUnavailable } }: { name: string; spec: ServiceSpec }) {
  const { t } = useTranslation()
  const names = (list: string[] | undefined, none: string) => (list?.length ? <span className="sk-labels">{list.map((name) => <Tag key={name}>{name}</Tag>)}</span> : <span className="sk-muted">{none}</span>)
  const kept = [
    ...(reserve.cpuMillis ? [t('measure.cores', { count: reserve.cpuMillis / 1000, shown: formatCores(reserve.cpuMillis / 1000) })] : []),
    ...(reserve.memoryBytes ? [formatBytes(reserve.memoryBytes)] : []),
  ]
  return (
    <Section title={t('placement.title')}>
      <Facts
        items={[
          { label: t('placement.strategy'), value: t(`placement.strategies.${placement.strategy ?? 'spread'}`) },
          { label: t('placement.constraints'), value: names(placement.constraints, t('placement.anyNode')) },
          { label: t('placement.reserve'), value: kept.length > 0 ? kept.join(' · ') : <span className="sk-muted">{t('placement.noReserve')}</span> },
          { label: t('placement.maxUnavailable'), value: maxUnavailable || 1 },
          ...(placement.spreadBy ? [{ label: t('placement.spreadBy'), value: <code>{placement.spreadBy}</code> }] : []),
          ...(placement.affinity?.length ? [{ label: t('placement.affinity'), value: names(placement.affinity, '') }] : []),
          ...(placement.antiAffinity?.length ? [{ label: t('placement.antiAffinity'), value: names(placement.antiAffinity.map((other) => (other === name ? t('placement.itself') : other)), '') }] : []),
        ]}
      />
    </Section>
  )
}
