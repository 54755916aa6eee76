import { useEffect, useRef, useState } from 'react'
import { LogFeed } from '@/shared/lib/logfeed'
import type { LogEntry } from '@/shared/lib/loglines'
import { address, dress, learn } from './client'
import type { LogLine } from './model'
import { asProblem, problemFrom, problemOf, type ApiProblem } from './problem'

/** Lines kept in the page; older ones are dropped and stay in the download. */
export const keptLines = 100_000

/** Lines are handed to the page so often, in ms, and at most so many at a time: what comes faster is counted, not shown. */
const flushEvery = 100
const flushLines = 2_000

/** What part of the log is wanted: from and to as the contract takes them (RFC 3339 or `10m`); without `until` it follows. */
export interface LogSpan {
  since?: string
  until?: string
}

export interface LogStream {
  lines: LogEntry[]
  /** Lines that were dropped from the front since the stream began. */
  dropped: number
  /** Lines that came faster than they can be shown. */
  skipped: number
  state: 'connecting' | 'live' | 'lost' | 'ended'
  problem: ApiProblem | null
}

const empty: LogStream = { lines: [], dropped: 0, skipped: 0, state: 'connecting', problem: null }

/**
 * Follows the log at a path (`/apps/web/logs`) and keeps its newest lines. A lost stream is opened anew and goes on after
 * the newest line seen, without repeating it. The server follows the containers that there were when it was asked, so a
 * change of `generation`, which names them, opens the stream anew in the same way. A component that shows another log or
 * another span is another component: give it the path and the span as its key.
 *
 * The past is read as fast as it can be shown, all of it. What is written now may come faster than that: then lines are
 * passed over, and an entry that says how many stands in their place.
 */
export function useLogStream(path: string, generation: string, tail = 500, span?: LogSpan): LogStream {
  const [stream, setStream] = useState<LogStream>(empty)
  const seen = useRef<Seen>({ newest: new Map(), since: undefined })
  const nextKey = useRef(0)
  const { since, until } = span ?? {}
  useEffect(() => {
    const stop = new AbortController()
    const waiting: LogEntry[] = []
    let skipped = 0
    let flushing: ReturnType<typeof setTimeout> | undefined
    let rooms: (() => void)[] = []
    // A chatty container must not cause a render for each line.
    const flush = () => {
      flushing = undefined
      const fresh = waiting.splice(0)
      const passed = skipped
      skipped = 0
      setStream((old) => {
        const all = old.lines.concat(fresh)
        const excess = Math.max(0, all.length - keptLines)
        return { ...old, lines: excess > 0 ? all.slice(excess) : all, dropped: old.dropped + excess, skipped: old.skipped + passed }
      })
      const freed = rooms
      rooms = []
      for (const go of freed) go()
    }
    const due = () => (flushing ??= setTimeout(flush, flushEvery))
    const sink: Sink = {
      room: () => Math.max(0, flushLines - waiting.length),
      add: (line) => {
        waiting.push({ key: nextKey.current++, ...line })
        due()
      },
      skip: (count) => {
        skipped += count
        const last = waiting.at(-1)
        if (last?.skipped) last.skipped += count
        else waiting.push({ key: nextKey.current++, time: '', stream: 'stdout', container: '', line: '', skipped: count })
        due()
      },
      wait: () => new Promise((resolve) => {
        rooms.push(resolve)
        due()
      }),
      tell: (state, problem) => setStream((old) => ({ ...old, state, problem })),
    }
    const query = { follow: until === undefined, until, tail: since ? keptLines : tail }
    void follow(path, query, since, seen.current, stop.signal, sink)
    return () => {
      stop.abort()
      if (flushing) {
        clearTimeout(flushing)
        flush()
      }
    }
  }, [path, tail, generation, since, until])
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

/** Where lines go. */
interface Sink {
  /** How many more are taken now. */
  room: () => number
  add: (line: Omit<LogEntry, 'key'>) => void
  skip: (count: number) => void
  /** Resolves when there is room again. */
  wait: () => Promise<void>
  tell: (state: LogStream['state'], problem: ApiProblem | null) => void
}

async function follow(path: string, query: { follow: boolean; until?: string; tail: number }, since: string | undefined, seen: Seen, signal: AbortSignal, sink: Sink) {
  for (let failures = 0; !signal.aborted; failures++) {
    let wait = Math.min(10_000, 1_000 * 2 ** failures)
    try {
      const url = address(path, seen.since ? { ...query, tail: undefined, since: seen.since } : { ...query, since })
      const response = await fetch(dress(new Request(url, { headers: { Accept: 'text/event-stream' }, signal })))
      learn(response, true)
      if (!response.ok) {
        const problem = await problemOf(response)
        sink.tell('lost', problem)
        if (response.status < 500) return
      } else {
        sink.tell('live', null)
        failures = 0
        const refused = await read(response, seen, sink)
        // The server ends a followed log when everything that writes to it has ended for good; it may be started again.
        if (refused) sink.tell('lost', refused)
        else sink.tell('ended', null)
        if (!refused && !query.follow) return
        wait = 4_000
      }
    } catch (error) {
      if (signal.aborted) return
      sink.tell('lost', asProblem(error))
    }
    await new Promise((resolve) => setTimeout(resolve, wait))
  }
}

/** The daemon writes at least a comment every 15 seconds: a stream that is silent for longer than this is dead. */
const longestSilence = 40_000

/** Reads one stream to its end; returns the problem that it ended with. */
async function read(response: Response, seen: Seen, sink: Sink): Promise<ApiProblem | null> {
  if (!response.body) return null
  const reader = response.body.getReader()
  const feed = new LogFeed()
  const names = new Map<string, string>()
  const before = new Map(seen.newest)
  // The server's clock dates the lines, so it says which were written before we asked.
  const asked = Date.parse(response.headers.get('Date') ?? '') || Date.now()
  let live = false
  let refused: ApiProblem | null = null
  let silence: ReturnType<typeof setTimeout> | undefined
  try {
    for (;;) {
      silence = setTimeout(() => void reader.cancel().catch(() => undefined), longestSilence)
      const { done, value } = await reader.read()
      clearTimeout(silence)
      if (done) return refused
      let piece: Uint8Array<ArrayBufferLike> = value
      for (;;) {
        // What lies in the past waits until there is room, and the server with it; what is written now is passed over.
        const { events, skipped, left } = take(feed, piece, sink.room(), live)
        for (const event of events) {
          if (event.event === 'problem') refused = problemFrom(JSON.parse(event.data), 0)
          if (event.event !== 'log') continue
          const line = JSON.parse(event.data) as LogLine
          const shown = before.get(line.containerId)
          if (shown !== undefined && !later(line.time, shown)) continue
          // One string for all lines of a container: a hundred thousand lines are kept.
          if (!names.has(line.container)) names.set(line.container, line.container)
          seen.newest.set(line.containerId, line.time)
          if (!seen.since || later(line.time, seen.since)) seen.since = line.time
          sink.add({ time: line.time, stream: line.stream, container: names.get(line.container) ?? line.container, line: line.line })
        }
        live ||= Date.parse(seen.since ?? '') >= asked - 1_000
        if (skipped > 0) sink.skip(skipped)
        if (!left) break
        piece = left
        if (sink.room() === 0 && !live) await sink.wait()
      }
    }
  } finally {
    clearTimeout(silence)
    void reader.cancel().catch(() => undefined)
  }
}

/** Bytes of the past that are read at a time, so that they do not overrun the room. */
const pastPiece = 128 << 10

function take(feed: LogFeed, piece: Uint8Array, room: number, live: boolean): { events: { event: string; data: string }[]; skipped: number; left?: Uint8Array } {
  if (live) return feed.push(piece, room)
  const left = piece.length > pastPiece ? piece.subarray(pastPiece) : undefined
  return { ...feed.push(left ? piece.subarray(0, pastPiece) : piece, Infinity), left }
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
