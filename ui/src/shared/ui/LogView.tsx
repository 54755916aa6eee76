import { DownloadOutlined, PauseOutlined, VerticalAlignBottomOutlined } from './icons'
import { useVirtualizer } from '@tanstack/react-virtual'
import { Button, Checkbox, Input } from 'antd'
import { useEffect, useMemo, useRef, useState, type ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import { parseAnsi, plainText } from '../lib/ansi'

export interface ShownLine {
  key: number
  time: string
  stream: 'stdout' | 'stderr'
  container: string
  line: string
}

const tones = ['accent', 'blue', 'green', 'orange', 'red', 'grey'] as const
/** The terminal's sixteen colours in our tones: readable on both schemes. */
const ansiTones = ['grey', 'red', 'green', 'orange', 'blue', 'red', 'accent', 'text', 'muted', 'red', 'green', 'orange', 'blue', 'red', 'accent', 'text'] as const

/**
 * A log: only the lines in view are drawn. It follows the end until the person scrolls up or presses pause, and says how
 * many lines came since. Search marks matches; "only matches" hides the rest.
 */
export function LogView({ lines, foot, filter, showContainer, onDownload }: { lines: ShownLine[]; foot?: ReactNode; filter?: ReactNode; showContainer: boolean; onDownload: () => Promise<void> }) {
  const { t } = useTranslation()
  const [search, setSearch] = useState('')
  const [only, setOnly] = useState(false)
  const [following, setFollowing] = useState(true)
  const [loading, setLoading] = useState(false)
  const [seenKey, setSeenKey] = useState(-1)
  const view = useRef<HTMLDivElement>(null)
  const wanted = search.trim().toLowerCase()
  const matching = useMemo(() => (wanted ? lines.filter((line) => plainText(line.line).toLowerCase().includes(wanted)) : lines), [lines, wanted])
  const shown = only && wanted ? matching : lines
  const containers = useMemo(() => [...new Set(lines.map((line) => line.container))].sort(), [lines])
  const nameWidth = Math.min(22, Math.max(0, ...containers.map((name) => name.length)))
  const rows = useVirtualizer({
    count: shown.length,
    getScrollElement: () => view.current,
    estimateSize: () => 20,
    overscan: 30,
    getItemKey: (index) => shown[index]?.key ?? index,
  })
  const lastKey = lines.at(-1)?.key ?? -1
  const fresh = following ? 0 : lines.filter((line) => line.key > seenKey).length

  useEffect(() => {
    if (following && shown.length > 0) rows.scrollToIndex(shown.length - 1, { align: 'end' })
  }, [following, shown.length, lastKey, rows])

  const pause = () => {
    setFollowing(false)
    setSeenKey(lastKey)
  }
  return (
    <div className="sk-log-frame">
      <div className="sk-log-bar" role="toolbar" aria-label={t('logs.toolbar')}>
        {filter}
        <Input.Search
          allowClear
          style={{ width: 220 }}
          placeholder={t('logs.search')}
          aria-label={t('logs.search')}
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
        {wanted && (
          <>
            <Checkbox checked={only} onChange={(event) => setOnly(event.target.checked)}>
              {t('logs.only')}
            </Checkbox>
            <span className="sk-muted" role="status">
              {t('logs.matches', { count: matching.length })}
            </span>
          </>
        )}
        <span style={{ flex: 1 }} />
        <Button
          icon={following ? <PauseOutlined /> : <VerticalAlignBottomOutlined />}
          aria-pressed={following}
          onClick={() => (following ? pause() : setFollowing(true))}
        >
          {following ? t('logs.pause') : fresh > 0 ? t('logs.followNew', { count: fresh }) : t('logs.follow')}
        </Button>
        <Button
          icon={<DownloadOutlined />}
          loading={loading}
          onClick={() => {
            setLoading(true)
            void onDownload().finally(() => setLoading(false))
          }}
        >
          {t('logs.download')}
        </Button>
      </div>
      <div
        ref={view}
        className="sk-log-view sk-log-wrap"
        role="log"
        aria-label={t('logs.title')}
        tabIndex={0}
        onWheel={(event) => {
          if (event.deltaY < 0 && following) pause()
        }}
        onKeyDown={(event) => {
          if (['ArrowUp', 'PageUp', 'Home'].includes(event.key) && following) pause()
          if (event.key === 'End') setFollowing(true)
        }}
        onTouchMove={() => following && pause()}
      >
        {shown.length === 0 ? (
          <p className="sk-muted sk-section-body">{wanted && only ? t('logs.noMatch') : t('logs.none')}</p>
        ) : (
          <div style={{ height: rows.getTotalSize(), position: 'relative' }}>
            {rows.getVirtualItems().map((row) => {
              const line = shown[row.index]
              if (!line) return null
              const tone = tones[containers.indexOf(line.container) % tones.length] ?? 'grey'
              return (
                <div
                  key={row.key}
                  data-index={row.index}
                  ref={rows.measureElement}
                  className={`sk-log-line ${line.stream === 'stderr' ? 'sk-log-err' : ''}`}
                  style={{ transform: `translateY(${row.start}px)` }}
                >
                  <span className="sk-log-time" title={line.time}>
                    {clock(line.time)}
                  </span>
                  {showContainer && (
                    <span className="sk-log-from" style={{ color: `var(--sk-${tone})`, width: `${nameWidth}ch` }} title={line.container}>
                      {line.container}
                    </span>
                  )}
                  <span className="sk-log-text">
                    {line.stream === 'stderr' && <span className="sk-visually-hidden">{t('logs.stderr')}</span>}
                    <Text line={line.line} wanted={wanted} />
                  </span>
                </div>
              )
            })}
          </div>
        )}
      </div>
      {foot && <div className="sk-log-foot">{foot}</div>}
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

function Text({ line, wanted }: { line: string; wanted: string }) {
  return parseAnsi(line).map((run, i) => (
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
