import { Alert } from 'antd'
import { useTranslation } from 'react-i18next'
import { Time } from './Time'

/** Why something is not as it should be. */
export interface ConditionLike {
  type: string
  reason: string
  sentence: string
  remedy?: string
  severity: 'info' | 'warning' | 'error'
  since?: string
}

/** Conditions stand above everything else of a page: sentence first, then the remedy, the reason code and since when. */
export function Conditions({ conditions }: { conditions: ConditionLike[] }) {
  const { t } = useTranslation()
  if (conditions.length === 0) return null
  return (
    <div className="sk-conditions" role="region" aria-label={t('condition.title')}>
      {conditions.map((condition) => (
        <Alert
          key={condition.type + condition.reason + condition.sentence}
          type={condition.severity}
          showIcon
          styles={{ title: { fontSize: 14, lineHeight: '22px' } }}
          title={condition.sentence}
          description={
            <>
              {condition.remedy && <div>{condition.remedy}</div>}
              <div className="sk-muted sk-condition-foot">
                <code>{condition.reason || condition.type}</code>
                {condition.since && <Time at={condition.since} />}
              </div>
            </>
          }
        />
      ))}
    </div>
  )
}
