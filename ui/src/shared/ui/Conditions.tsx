import { Alert } from 'antd'
import type { ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import { usePreferences } from '../lib/preferences'
import { say } from '../lib/sentences'
import { Time } from './Time'

/** Why something is not as it should be. */
export interface ConditionLike {
  type: string
  reason: string
  sentence: string
  /** Which part of the object it is about, where it is not the whole. */
  about?: string
  /** What to do about it: a sentence, or what leads there. */
  remedy?: ReactNode
  severity: 'info' | 'warning' | 'error'
  since?: string
}

/** Conditions stand above everything else of a page: sentence first, then the remedy, the reason code and since when. */
export function Conditions({ conditions }: { conditions: ConditionLike[] }) {
  const { t } = useTranslation()
  const { language } = usePreferences()
  if (conditions.length === 0) return null
  return (
    <div className="sk-conditions" role="region" aria-label={t('condition.title')}>
      {conditions.map((condition) => {
        const { text, original } = say(language, condition.reason, condition.sentence)
        return (
          <Alert
            key={condition.type + condition.reason + condition.sentence}
            type={condition.severity}
            showIcon
            styles={{ title: { fontSize: 14, lineHeight: '22px' } }}
            title={
              <>
                {condition.about && <strong>{condition.about}{t('plan.colon')}</strong>}
                {text}
              </>
            }
            description={
              <>
                {original && <div className="sk-muted sk-original" lang="en">{original}</div>}
                {condition.remedy && <div>{condition.remedy}</div>}
                <div className="sk-muted sk-condition-foot">
                  <code>{condition.reason || condition.type}</code>
                  {condition.since && <Time at={condition.since} />}
                </div>
              </>
            }
          />
        )
      })}
    </div>
  )
}
