import { Button, InputNumber, Space } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { Service } from '@/api/model'
import { useMay } from '@/api/may'
import { asProblem } from '@/api/problem'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { useScale } from './queries'

/** The replicas that run of those asked for, and the number asked for to change. */
export function Replicas({ service }: { service: Service }) {
  const { t } = useTranslation()
  const may = useMay()
  const scale = useScale()
  /** What the person has typed; undefined is nothing yet, null an emptied field. */
  const [draft, setDraft] = useState<number | null | undefined>(undefined)
  const wanted = draft === undefined ? service.spec.replicas : draft
  const changed = wanted !== null && wanted !== service.spec.replicas
  const apply = () => {
    if (changed) scale.mutate({ service, replicas: wanted }, { onSuccess: () => setDraft(undefined) })
    else setDraft(undefined)
  }
  const shown = (
    <span className="sk-number">
      {service.status.running}/{service.spec.replicas}
    </span>
  )
  if (!may('app.write')) return shown
  return (
    <div>
      <Space wrap style={{ justifyContent: 'flex-end' }}>
        {shown}
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
