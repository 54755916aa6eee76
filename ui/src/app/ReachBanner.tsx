import { onlineManager, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { retryNow } from '@/api/events'
import { useMay } from '@/api/may'
import { keys, quorumQuery } from '@/api/queries'
import { noteLeader, useReach } from '@/api/reach'
import { formatDuration } from '@/shared/lib/format'
import { usePreferences } from '@/shared/lib/preferences'
import { OtherNodes } from './OtherNodes'

/** How long a leader may be missing before it is worth a sentence, in ms: an election is over sooner. */
const hiccup = 2_000
/** After so long without news the console no longer claims that nobody leads, in ms. */
const stale = 15_000

/**
 * Says in one sentence that the answering node is cut off, that nobody leads, or that this node is behind: what is shown
 * stays readable, and the pages do not repeat it. When it is over, everything on the page is asked again. A node that is cut
 * off would refuse each question, so meanwhile only session and quorum are asked, and the other nodes are offered.
 */
export function ReachBanner() {
  const { t } = useTranslation()
  const { language } = usePreferences()
  const may = useMay()
  const queries = useQueryClient()
  const reach = useReach()
  const cutOff = reach.stale !== undefined
  const watch = may('node.read')
  const quorum = useQuery({ ...quorumQuery, enabled: (reach.leaderless || cutOff) && watch, refetchInterval: 3_000 })
  const troubled = reach.leaderless || reach.behind || cutOff
  const [shown, setShown] = useState(false)
  useEffect(() => {
    if (!troubled) return
    const timer = setTimeout(() => setShown(true), hiccup)
    return () => {
      clearTimeout(timer)
      setShown(false)
      // What was refused meanwhile is asked again; what is asked here already is not.
      void queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'quorum' && queryKey[0] !== 'session' })
    }
  }, [troubled, queries])
  useEffect(() => {
    if (!cutOff) return
    // Queries wait as they do without a network, with what they have.
    onlineManager.setOnline(false)
    void queries.invalidateQueries({ queryKey: keys.session }, { cancelRefetch: false })
    return () => {
      onlineManager.setOnline(true)
      retryNow()
    }
  }, [cutOff, queries])
  useEffect(() => {
    if (!reach.leaderless || watch) return
    const timer = setTimeout(() => noteLeader(true), stale)
    return () => clearTimeout(timer)
  }, [reach.leaderless, watch])
  const lost = quorum.data !== undefined && quorum.data.canLose < 0
  const text =
    reach.stale !== undefined
      ? t('reach.stale', { for: formatDuration(reach.stale, language) })
      : !shown
        ? ''
        : reach.leaderless
          ? lost
            ? t('reach.lost')
            : t('reach.leaderless')
          : reach.behind
            ? t('reach.behind')
            : ''
  return (
    <div className={text ? 'sk-lost' : undefined} role="status">
      {text}
      {cutOff && <OtherNodes />}
      {text && lost && (cutOff || reach.leaderless) && <Link to="/nodes">{t('reach.whatToDo')}</Link>}
    </div>
  )
}
