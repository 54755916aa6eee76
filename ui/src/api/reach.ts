import { useSyncExternalStore } from 'react'

/**
 * What the answers say of the cluster behind them. The frame says it once in one sentence; the pages go on with what they can
 * read, and the refusals that only repeat it stay quiet (ApiProblem.said).
 */
export interface Reach {
  /** So many seconds the answering node has been cut off from the cluster; undefined while it is not. */
  stale?: number
  /** Nobody leads, so changes are refused. */
  leaderless: boolean
  /** The answering node has not yet seen what this console has. */
  behind: boolean
}

const well: Reach = { leaderless: false, behind: false }

let reach: Reach = well
const listeners = new Set<() => void>()

function become(next: Partial<Reach>) {
  const merged = { ...reach, ...next }
  if (merged.stale === reach.stale && merged.leaderless === reach.leaderless && merged.behind === reach.behind) return
  reach = merged
  for (const listener of listeners) listener()
}

export function currentReach(): Reach {
  return reach
}

export function subscribeReach(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function useReach(): Reach {
  return useSyncExternalStore(subscribeReach, currentReach)
}

/** The refusals that the frame's banner says already, by code. */
const said: Record<string, Partial<Reach>> = {
  no_leader: { leaderless: true },
  index_not_applied: { behind: true },
  // With the header that says for how long.
  cut_off: {},
}

/** Learns from an answer: reads say how stale they are, a change that was made proves that somebody leads. */
export function noteAnswer(response: Response, reading: boolean) {
  const stale = Number(response.headers.get('Skerry-Stale'))
  // Of a refusal only what it says counts, not what it leaves out.
  if (!response.ok) {
    if (stale > 0) become({ stale })
  } else if (reading) become({ behind: false, stale: stale > 0 ? stale : undefined })
  else become({ leaderless: false, behind: false })
}

/** Learns from a refusal by its status and code; says whether the banner says it. */
export function noteRefusal(status: number, code: string): boolean {
  const next = status === 503 ? said[code] : undefined
  if (next) become(next)
  return next !== undefined
}

/** Learns from what the node says of the quorum itself. */
export function noteLeader(known: boolean) {
  become({ leaderless: !known })
}

/** Forgets everything, as at the beginning. */
export function forgetReach() {
  become({ ...well, stale: undefined })
}
