import { useEffect, useLayoutEffect, useRef, useState, type ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import { parseAnsi } from '../lib/ansi'
import { indexOfKey, longestShown, LogRows, type LogEntry } from '../lib/loglines'

const rowHeight = 20
const overscan = 12
const sides = 24
const gap = 12

const tones = ['accent', 'blue', 'green', 'orange', 'red', 'grey'] as const
/** The terminal's sixteen colours in our tones: readable on both schemes. */
const ansiTones = ['grey', 'red', 'green', 'orange', 'blue', 'red', 'accent', 'text', 'muted', 'red', 'green', 'orange', 'blue', 'red', 'accent', 'text'] as const

export interface LogLinesProps {
  lines: readonly LogEntry[]
  /** Names what the lines are a part of; other lines are measured anew. */
  id: string
  containers: readonly string[]
  showContainer: boolean
  wrap: boolean
  timestamps: boolean
  wanted: string
  following: boolean
  onPause: () => void
  onFollow: () => void
  /** The line to bring into view; a new object brings it again. */
  target?: { key: number }
  nothing: ReactNode
}

/**
 * The lines of a log of which only those in view are drawn. They stand in the flow of one block that is put at the place of
 * its first line: where a guess at a line's height is wrong, lines never lie upon each other.
 */
export function LogLines({ lines, id, containers, showContainer, wrap, timestamps, wanted, following, onPause, onFollow, target, nothing }: LogLinesProps) {
  const { t } = useTranslation()
  const view = useRef<HTMLDivElement>(null)
  const probe = useRef<HTMLSpanElement>(null)
  const [rows] = useState(() => new LogRows())
  const [size, setSize] = useState({ width: 0, height: 600, char: 7.5 })
  // Where the person has scrolled to, and how many rows had gone at the front then.
  const [top, setTop] = useState({ px: 0, gone: 0 })
  const seenGone = useRef(0)
  const nameWidth = showContainer ? Math.min(22, Math.max(0, ...containers.map((name) => name.length))) : 0

  useEffect(() => {
    const element = view.current
    if (!element) return
    const measure = () => {
      const char = (probe.current?.getBoundingClientRect().width ?? 0) / 100
      setSize({ width: element.clientWidth, height: element.clientHeight || 600, char: char || 7.5 })
    }
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => observer.disconnect()
  }, [])

  const taken = sides + (timestamps ? 12 * size.char + gap : 0) + (showContainer ? nameWidth * size.char + gap : 0)
  const columns = wrap && size.width > 0 ? Math.max(10, Math.floor((size.width - taken) / size.char)) : 0
  rows.update(lines, columns, id)
  const gone = rows.gone
  const total = rows.total * rowHeight
  const shownTop = following ? Math.max(0, total - size.height) : Math.min(Math.max(0, top.px - Math.max(0, gone - top.gone) * rowHeight), Math.max(0, total - size.height))
  const first = Math.max(0, rows.at(Math.floor(shownTop / rowHeight)) - overscan)
  const end = Math.min(lines.length, rows.at(Math.ceil((shownTop + size.height) / rowHeight)) + 1 + overscan)

  // What goes at the front moves everything up; a reader's place must not move.
  useLayoutEffect(() => {
    const element = view.current
    if (!element) return
    const moved = gone - seenGone.current
    seenGone.current = gone
    if (following) element.scrollTop = element.scrollHeight
    else if (moved > 0) element.scrollTop -= moved * rowHeight
  })
  useEffect(() => {
    const element = view.current
    if (!target || !element) return
    const place = rows.top(indexOfKey(lines, target.key)) * rowHeight
    element.scrollTop = Math.max(0, place - element.clientHeight / 3)
    setTop({ px: element.scrollTop, gone: rows.gone })
    // Only a new target moves the view, not the lines that come.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [target])

  const atEnd = (element: HTMLElement) => element.scrollHeight - element.scrollTop - element.clientHeight < 4
  return (
    <div
      ref={view}
      className={`sk-log-view ${wrap ? 'sk-log-wrap' : ''}`}
      role="log"
      aria-label={t('logs.title')}
      aria-live="off"
      tabIndex={0}
      onScroll={(event) => setTop({ px: event.currentTarget.scrollTop, gone: rows.gone })}
      onWheel={(event) => {
        if (event.deltaY < 0 && following) onPause()
        if (event.deltaY > 0 && !following && atEnd(event.currentTarget)) onFollow()
      }}
      onPointerDown={(event) => {
        // Whoever takes hold of the scroll bar wants to look elsewhere.
        if (following && event.nativeEvent.offsetX > event.currentTarget.clientWidth) onPause()
      }}
      onKeyDown={(event) => {
        if (['ArrowUp', 'PageUp', 'Home'].includes(event.key) && following) onPause()
        if (event.key === 'End') onFollow()
      }}
      onTouchMove={() => following && onPause()}
    >
      <span ref={probe} className="sk-log-probe" aria-hidden>
        {'0'.repeat(100)}
      </span>
      {lines.length === 0 ? (
        <p className="sk-muted sk-section-body">{nothing}</p>
      ) : (
        <div className="sk-log-all" style={{ height: total }}>
          <div className="sk-log-block" style={end === lines.length && first > 0 ? { bottom: 0 } : { top: rows.top(first) * rowHeight }}>
            {lines.slice(first, end).map((line) =>
              line.skipped ? (
                <div key={line.key} className="sk-log-skipped">
                  {t('log.skipped', { count: line.skipped })}
                </div>
              ) : (
                <div key={line.key} className={`sk-log-line ${line.stream === 'stderr' ? 'sk-log-err' : ''} ${target?.key === line.key ? 'sk-log-target' : ''}`}>
                  {timestamps && (
                    <span className="sk-log-time" title={line.time}>
                      {clock(line.time)}
                    </span>
                  )}
                  {showContainer && (
                    <span className="sk-log-from" style={{ color: `var(--sk-${tones[Math.max(0, containers.indexOf(line.container)) % tones.length]})`, width: `${nameWidth}ch` }} title={line.container}>
                      {line.container}
                    </span>
                  )}
                  <span className="sk-log-text">
                    {line.stream === 'stderr' && <span className="sk-visually-hidden">{t('logs.stderr')}</span>}
                    <Text line={line.line} wanted={wanted} />
                    {line.line.length > longestShown && <em className="sk-muted"> {t('log.cut', { count: line.line.length - longestShown })}</em>}
                  </span>
                </div>
              ),
            )}
          </div>
        </div>
      )}
    </div>
  )
}

/** The local time of day with milliseconds. */
function clock(time: string): string {
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) return ''
  const two = (n: number) => String(n).padStart(2, '0')
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

/** A line as text in its colours. Whatever a container prints becomes text nodes: nothing of it is ever markup. */
function Text({ line, wanted }: { line: string; wanted: string }) {
  return parseAnsi(line.length > longestShown ? line.slice(0, longestShown) : line).map((run, i) => (
    <span
      key={i}
      style={{ color: run.color === undefined ? undefined : `var(--sk-${ansiTones[run.color] ?? 'text'})`, fontWeight: run.bold ? 600 : undefined, opacity: run.dim ? 0.75 : undefined }}
    >
      {mark(run.text, wanted)}
    </span>
  ))
}

function mark(text: string, wanted: string): ReactNode {
  if (!wanted) return text
  const parts: ReactNode[] = []
  const lower = text.toLowerCase()
  let from = 0
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + wanted.length)}</mark>)
    from = at + wanted.length
  }
  parts.push(text.slice(from))
  return parts
}
