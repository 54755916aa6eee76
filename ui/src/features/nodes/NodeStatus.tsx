import { useTranslation } from 'react-i18next'
import type { Node } from '@/api/model'
import { nodeHealth, nodeReason, nodeWord } from '@/api/status'
import { usePreferences } from '@/shared/lib/preferences'
import { say } from '@/shared/lib/sentences'
import { StatusBadge } from '@/shared/ui/StatusBadge'
import { Time } from '@/shared/ui/Time'
import type { NodePart } from './list'

/** A node's status in the vocabulary of all objects. */
export function NodeStatus({ node, quiet }: { node: Node; quiet?: boolean }) {
  return <StatusBadge status={nodeWord(node)} quiet={quiet} />
}

/** Whether a node is up, since when it is not, and why. */
export function Health({ node }: { node: Node }) {
  const { t } = useTranslation()
  const { language } = usePreferences()
  const health = nodeHealth(node)
  const reason = nodeReason(node)
  const code = health === 'down' ? 'NodeDown' : (node.status.conditions?.[0]?.reason ?? '')
  const said = reason && say(language, code, reason).text
  const since = health === 'down' ? node.health?.since : node.status.conditions?.[0]?.since
  return (
    <div className="sk-node-health">
      <span className={health === 'up' ? undefined : health === 'joining' ? 'sk-tone-blue' : 'sk-tone-red'}>{t(`nodes.health.${health}`)}</span>
      {health !== 'up' && health !== 'joining' && since && (
        <span className="sk-muted">
          {' '}
          <Time at={since} />
        </span>
      )}
      {said && (
        <div className="sk-muted sk-node-reason" title={said}>
          {said}
        </div>
      )}
    </div>
  )
}

/** The role of a node and its part in the quorum. */
export function Role({ node, part }: { node: Node; part: NodePart }) {
  const { t } = useTranslation()
  return (
    <span className="sk-node-role">
      {t(`nodes.role.${node.role === 'worker' ? 'worker' : 'member'}`)}
      {part !== 'worker' && part !== 'member' && <span className={`sk-tag ${part === 'leader' ? 'sk-tag-accent' : ''}`}>{t(`quorum.part.${part}`)}</span>}
    </span>
  )
}
