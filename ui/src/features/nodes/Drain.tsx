import { useQuery } from '@tanstack/react-query'
import { Progress } from 'antd'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import type { Node, NodeDrain } from '@/api/model'
import { asProblem } from '@/api/problem'
import { usePreferences } from '@/shared/lib/preferences'
import { say } from '@/shared/lib/sentences'
import { Section } from '@/shared/ui/Page'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { drainQuery } from './queries'

const moved = ({ total, left }: NodeDrain) => Math.max(0, total - left)
const share = (drain: NodeDrain) => (drain.total > 0 ? Math.round((moved(drain) / drain.total) * 100) : drain.done ? 100 : 0)

/** Whether a node takes containers; of one that is being drained, how many it still has. */
export function Availability({ node }: { node: Node }) {
  const { t } = useTranslation()
  const draining = node.spec.availability === 'drain'
  const drain = useQuery({ ...drainQuery(node.id), enabled: draining })
  if (!draining) return <span>{t('nodes.availability.active')}</span>
  if (!drain.data) return <span className="sk-tone-blue">{t('nodes.availability.drain')}</span>
  return (
    <span>
      <span className="sk-tone-blue">{drain.data.done ? t('nodes.drained') : t('nodes.availability.drain')}</span>
      {drain.data.left > 0 && <div className="sk-muted sk-nowrap">{t('nodes.left', { count: drain.data.left })}</div>}
    </span>
  )
}

/** How far a drain has come, live, and what waits for what. */
export function DrainPanel({ node }: { node: Node }) {
  const { t } = useTranslation()
  const { language } = usePreferences()
  const query = useQuery(drainQuery(node.id))
  const drain = query.data
  return (
    <Section title={t('nodes.drainTitle')}>
      {query.isError && !drain && <ProblemAlert problem={asProblem(query.error)} retry={() => void query.refetch()} />}
      {drain && (
        <div className="sk-stack" aria-live="polite">
          <p>
            {drain.left === 0
              ? t('nodes.drainEmpty', { name: node.name })
              : drain.done
                ? t('nodes.drainStuck', { count: drain.left })
                : t('nodes.drainMoving', { count: drain.left, moved: moved(drain), total: drain.total })}
          </p>
          <Progress percent={share(drain)} showInfo={false} size="small" aria-label={t('nodes.drainTitle')} status={drain.done ? 'success' : 'active'} />
          {(drain.waiting?.length ?? 0) > 0 && (
            <ul className="sk-problems sk-drain-waiting" aria-label={t('nodes.waiting')}>
              {drain.waiting?.map(({ containerId, container, reason }) => (
                <li key={containerId}>
                  <Link className="sk-name" to={`/containers/${encodeURIComponent(containerId)}`}>
                    {container}
                  </Link>
                  <span className="sk-muted">{say(language, 'Drain', reason).text}</span>
                </li>
              ))}
            </ul>
          )}
        </div>
      )}
    </Section>
  )
}
