import { useEffect, useRef, useState } from 'react'
import { readEventStream } from '@/shared/lib/sse'
import { address, dress, learn } from './client'
import type { LogLine } from './model'
import { asProblem, problemFrom, problemOf, type ApiProblem } from './problem'

/** Lines kept in the page; older ones are dropped and stay in the download. */
export const keptLines = 5_000

export interface LogStream {
  lines: (LogLine & { key: number })[]
  /** Lines that were dropped from the front since the stream began. */
  dropped: number
  state: 'connecting' | 'live' | 'lost' | 'ended'
  problem: ApiProblem | null
}

const empty: LogStream = { lines: [], dropped: 0, state: 'connecting', problem: null }

/**
 * Follows the log at a path (`/apps/web/logs`) and keeps its newest lines. A lost stream is opened anew and goes on after
 * the newest line seen, without repeating it. The server follows the containers that there were when it was asked, so a
 * change of `generation`, which names them, opens the stream anew in the same way. A component that shows another log is another component: give it the path as
 * its key.
 */
export function useLogStream(path: string, generation: string, tail = 500): LogStream {
  const [stream, setStream] = useState<LogStream>(empty)
  const nextKey = useRef(0)
  const seen = useRef<Seen>({ newest: new Map(), since: undefined })
  useEffect(() => {
    const stop = new AbortController()
    const waiting: LogLine[] = []
    let flushing: ReturnType<typeof setTimeout> | undefined
    // A chatty container must not cause a render for each line.
    const flush = () => {
      flushing = undefined
      const fresh = waiting.splice(0).map((line) => ({ ...line, key: nextKey.current++ }))
      setStream((old) => {
        const all = [...old.lines, ...fresh]
        const excess = Math.max(0, all.length - keptLines)
        return { ...old, lines: excess > 0 ? all.slice(excess) : all, dropped: old.dropped + excess }
      })
    }
    const add = (line: LogLine) => {
      waiting.push(line)
      flushing ??= setTimeout(flush, 80)
    }
    void follow(path, tail, seen.current, stop.signal, add, (state, problem) => setStream((old) => ({ ...old, state, problem })))
    return () => {
      stop.abort()
      if (flushing) {
        clearTimeout(flushing)
        flush()
      }
    }
  }, [path, tail, generation])
  return stream
}

/** Tells whether a is after b; both RFC 3339 in UTC with up to nine decimals, of which a Date would keep three. */
export function later(a: string, b: string): boolean {
  const padded = (time: string) => {
    const [second = '', fraction = ''] = time.replace(/Z$/, '').split('.')
    return second + fraction.padEnd(9, '0')
  }
  return padded(a) > padded(b)
}

/** How far a log was read: the newest time of each container, and of all. What is not newer was shown before. */
interface Seen {
  newest: Map<string, string>
  since: string | undefined
}

async function follow(path: string, tail: number, seen: Seen, signal: AbortSignal, add: (line: LogLine) => void, tell: (state: LogStream['state'], problem: ApiProblem | null) => void) {
  for (let failures = 0; !signal.aborted; failures++) {
    let wait = Math.min(10_000, 1_000 * 2 ** failures)
    try {
      const url = address(path, { follow: true, ...(seen.since ? { since: seen.since } : { tail }) })
      const response = await fetch(dress(new Request(url, { headers: { Accept: 'text/event-stream' }, signal })))
      learn(response)
      if (!response.ok) {
        const problem = await problemOf(response)
        tell('lost', problem)
        if (response.status < 500) return
      } else {
        tell('live', null)
        failures = 0
        const before = new Map(seen.newest)
        let refused: ApiProblem | null = null
        for await (const event of readEventStream(response)) {
          if (event.event === 'problem') refused = problemFrom(JSON.parse(event.data), 0)
          if (event.event !== 'log') continue
          const line = JSON.parse(event.data) as LogLine
          const shown = before.get(line.containerId)
          if (shown !== undefined && !later(line.time, shown)) continue
          seen.newest.set(line.containerId, line.time)
          if (!seen.since || later(line.time, seen.since)) seen.since = line.time
          add(line)
        }
        // The server ends a followed log when everything that writes to it has ended for good; it may be started again.
        if (refused) tell('lost', refused)
        else tell('ended', null)
        wait = 4_000
      }
    } catch (error) {
      if (signal.aborted) return
      tell('lost', asProblem(error))
    }
    await new Promise((resolve) => setTimeout(resolve, wait))
  }
}

/** Fetches the whole log as text with a time at the beginning of each line. */
export async function fetchLog(path: string): Promise<string> {
  let response: Response
  try {
    response = await fetch(dress(new Request(address(path, { timestamps: true }), { headers: { Accept: 'text/plain' } })))
  } catch (error) {
    throw asProblem(error)
  }
  if (!response.ok) throw await problemOf(response)
  return response.text()
}
