import type { Node } from '@/api/model'
import { StatusBadge } from '@/shared/ui/StatusBadge'

/** A node's status: ready is running, ready with a condition is degraded. */
export function NodeStatus({ node }: { node: Node }) {
  if (!node.status.ready) return <StatusBadge status="failed" />
  return <StatusBadge status={node.status.conditions?.length ? 'degraded' : 'running'} />
}
