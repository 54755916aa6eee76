import type { Node, QuorumMember } from '@/api/model'
import { nodeHealth, type NodeHealthWord } from '@/api/status'

/** What a node is to the control plane. */
export type NodePart = 'leader' | 'voter' | 'standby' | 'none' | 'worker' | 'member'

/** The part of a node by what the quorum says of it; a member of which nothing is known is just that. */
export function partOf(node: Node, members: readonly QuorumMember[] | undefined): NodePart {
  if (node.role === 'worker') return 'worker'
  const member = members?.find(({ nodeId }) => nodeId === node.id)
  if (!member) return 'member'
  return member.leader ? 'leader' : member.part
}

export interface NodeFilter {
  q: string
  role: string
  health: string
  availability: string
  environment: string
}

export const roleFilters = ['member', 'worker', 'voter', 'standby'] as const
export const healthFilters: readonly NodeHealthWord[] = ['up', 'notReady', 'down', 'joining']

/** The nodes that fit: words look in name, address, version and labels (`zone=a`). */
export function select(nodes: readonly Node[], filter: NodeFilter, members: readonly QuorumMember[] | undefined): Node[] {
  const wanted = filter.q.trim().toLowerCase()
  const fitsRole = (node: Node) => {
    const part = partOf(node, members)
    if (filter.role === 'member') return part !== 'worker'
    if (filter.role === 'voter') return part === 'voter' || part === 'leader'
    return part === filter.role
  }
  const text = ({ name, id, status, spec }: Node) => [name, id, status.address, status.skerryVersion, ...Object.entries(spec.labels ?? {}).map(([key, value]) => `${key}=${value}`)].join('\n').toLowerCase()
  return nodes.filter(
    (node) =>
      (!filter.role || fitsRole(node)) &&
      (!filter.health || nodeHealth(node) === filter.health) &&
      (!filter.availability || (node.spec.availability ?? 'active') === filter.availability) &&
      (!filter.environment || node.environmentId === filter.environment) &&
      (!wanted || text(node).includes(wanted)),
  )
}

/** The server's rule for keys of labels: letters, digits and `. _ - /`, at both ends a letter or digit. */
export const labelKeyPattern = /^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$/
