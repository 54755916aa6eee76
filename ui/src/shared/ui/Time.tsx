import { formatExact, formatRelative } from '../lib/format'
import { useNow } from '../lib/now'
import { usePreferences } from '../lib/preferences'

/**
 * A moment as relative time; the exact time is its tooltip and its machine-readable value. What lies in the past is never
 * shown as the future, however the two clocks differ; `future` is for what is still to come.
 */
export function Time({ at, future }: { at: string | number | Date | undefined; future?: boolean }) {
  const { language } = usePreferences()
  const now = useNow()
  if (at === undefined || at === '') return <span>–</span>
  const then = new Date(at)
  if (Number.isNaN(then.getTime()) || then.getUTCFullYear() <= 1) return <span>–</span>
  return (
    <time dateTime={then.toISOString()} title={formatExact(then, language)}>
      {formatRelative(then, new Date(future ? now : Math.max(now, then.getTime())), language)}
    </time>
  )
}
