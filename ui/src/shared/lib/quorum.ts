/** A member as the panel shows it. */
export interface QuorumMemberLike {
  nodeId: string
  name: string
  part: 'voter' | 'standby' | 'none'
  wish?: 'voter' | 'standby'
  leader: boolean
  alive: boolean
  lag: number
  lastContactMillis?: number
  reason?: string
}

export interface QuorumLike {
  generation: number
  leaderId: string
  canLose: number
  degraded: boolean
  members: QuorumMemberLike[]
}

/** What is to be said of a quorum, the worst first. */
export type QuorumWord = 'lost' | 'leaderless' | 'degraded' | 'one' | 'pair' | 'none' | 'margin'

export function quorumWord({ canLose, leaderId, degraded, members }: QuorumLike): QuorumWord {
  if (canLose < 0) return 'lost'
  if (leaderId === '') return 'leaderless'
  if (degraded) return 'degraded'
  if (canLose > 0) return 'margin'
  if (votersOf(members).length > 1) return 'none'
  return members.length > 1 ? 'pair' : 'one'
}

export const quorumTone: Record<QuorumWord, 'green' | 'blue' | 'orange' | 'red'> = { lost: 'red', leaderless: 'orange', degraded: 'orange', none: 'orange', one: 'blue', pair: 'blue', margin: 'green' }

export function votersOf<M extends QuorumMemberLike>(members: readonly M[]): M[] {
  return members.filter(({ part }) => part === 'voter')
}

const rank = ({ leader, part }: QuorumMemberLike) => (leader ? 0 : part === 'voter' ? 1 : part === 'standby' ? 2 : 3)

/** The leader first, then who votes, then who stands by; each by name, so that rows keep their place. */
export function inOrder<M extends QuorumMemberLike>(members: readonly M[]): M[] {
  return [...members].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name, undefined, { numeric: true }))
}

/** Whether a member needs to be looked at. */
export function ailing({ alive, lag, part }: QuorumMemberLike): boolean {
  return !alive || lag > 1_000 || part === 'none'
}
