import { DownloadOutlined, PauseOutlined, VerticalAlignBottomOutlined } from './icons'
import { Button, Checkbox, Dropdown, Input } from 'antd'
import { useDeferredValue, useMemo, useState, type ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import { contains, indexOfKey, LogFilter, type LogEntry } from '../lib/loglines'
import { LogLines } from './LogLines'
import './LogView.css'

export type ShownLine = LogEntry

/** How the log is shown; kept for the page, so that it is the same in the next log. */
interface Look {
  wrap: boolean
  timestamps: boolean
  stdout: boolean
  stderr: boolean
}
let lastLook: Look = { wrap: true, timestamps: true, stdout: true, stderr: true }
function remember(look: Look): Look {
  lastLook = look
  return look
}

/**
 * A log: only the lines in view are drawn. It follows the end until the person scrolls up or presses pause, and says how
 * many lines came since. Search marks matches and goes from one to the next; "only matches" hides the rest.
 */
export function LogView({ lines, foot, filter, showContainer, onDownload }: { lines: LogEntry[]; foot?: ReactNode; filter?: ReactNode; showContainer: boolean; onDownload: () => Promise<void> }) {
  const { t } = useTranslation()
  const [search, setSearch] = useState('')
  const [only, setOnly] = useState(false)
  const [look, setLook] = useState(lastLook)
  const [following, setFollowing] = useState(true)
  const [loading, setLoading] = useState(false)
  const [seenKey, setSeenKey] = useState(-1)
  const [target, setTarget] = useState<{ key: number }>()
  const [byStream] = useState(() => new LogFilter())
  const [bySearch] = useState(() => new LogFilter())
  const [names] = useState(() => new Names())
  // Typing goes before searching a hundred thousand lines.
  const wanted = useDeferredValue(search.trim().toLowerCase())
  const streams = `${look.stdout} ${look.stderr}`
  const base = useMemo(
    () => (look.stdout && look.stderr ? lines : byStream.update(lines, streams, (entry) => (entry.stream === 'stderr' ? look.stderr : look.stdout))),
    [byStream, lines, look.stdout, look.stderr, streams],
  )
  const matching = useMemo(() => (wanted ? bySearch.update(base, `${streams} ${wanted}`, (entry) => contains(entry, wanted)) : base), [bySearch, base, streams, wanted])
  const shown = only && wanted ? matching : base
  const containers = names.update(lines)
  const lastKey = lines.at(-1)?.key ?? -1
  const fresh = following ? 0 : Math.max(0, lastKey - seenKey)

  const change = (part: Partial<Look>) => setLook(remember({ ...look, ...part }))
  const pause = () => {
    setFollowing(false)
    setSeenKey(lastKey)
  }
  const go = (by: 1 | -1) => {
    if (!wanted || matching.length === 0) return
    const at = target ? indexOfKey(matching, target.key) : by > 0 ? -1 : matching.length
    const next = matching[(at + by + matching.length) % matching.length]
    if (!next) return
    if (following) pause()
    setTarget({ key: next.key })
  }
  const item = (key: keyof Look, label: string) => ({
    key,
    label: (
      <Checkbox checked={look[key]} tabIndex={-1} style={{ pointerEvents: 'none' }}>
        {label}
      </Checkbox>
    ),
    onClick: () => change({ [key]: !look[key] }),
  })
  const [menu, setMenu] = useState(false)
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
          onChange={(event) => {
            setSearch(event.target.value)
            setTarget(undefined)
          }}
          onKeyDown={(event) => {
            if (event.key === 'Enter') go(event.shiftKey ? -1 : 1)
          }}
        />
        {wanted && (
          <>
            <Checkbox checked={only} onChange={(event) => setOnly(event.target.checked)}>
              {t('logs.only')}
            </Checkbox>
            <span className="sk-muted" role="status">
              {t('logs.matches', { count: matching.length })}
            </span>
            <Button size="small" disabled={matching.length === 0} onClick={() => go(-1)}>
              {t('log.previous')}
            </Button>
            <Button size="small" disabled={matching.length === 0} onClick={() => go(1)}>
              {t('log.next')}
            </Button>
          </>
        )}
        <span className="sk-log-gap" />
        <Dropdown
          trigger={['click']}
          open={menu}
          // Several may be changed in a row, so choosing one leaves the menu open.
          onOpenChange={(open, { source }) => (source === 'trigger' || open ? setMenu(open) : undefined)}
          menu={{ items: [item('wrap', t('log.wrap')), item('timestamps', t('log.timestamps')), { type: 'divider' }, item('stdout', t('log.stdout')), item('stderr', t('log.stderr'))] }}
        >
          <Button>{t('log.view')}</Button>
        </Dropdown>
        <Button icon={following ? <PauseOutlined /> : <VerticalAlignBottomOutlined />} aria-pressed={following} onClick={() => (following ? pause() : setFollowing(true))}>
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
      <LogLines
        lines={shown}
        id={`${streams} ${only ? wanted : ''}`}
        containers={containers}
        showContainer={showContainer}
        wrap={look.wrap}
        timestamps={look.timestamps}
        wanted={wanted}
        following={following}
        onPause={pause}
        onFollow={() => setFollowing(true)}
        target={target}
        nothing={wanted && only ? t('logs.noMatch') : t('logs.none')}
      />
      {foot && <div className="sk-log-foot">{foot}</div>}
    </div>
  )
}

/** The names of the containers that have written, each once, in the order of the alphabet. */
class Names {
  private last = -1
  private set = new Set<string>()
  private sorted: readonly string[] = []

  update(lines: readonly LogEntry[]): readonly string[] {
    const before = this.set.size
    for (let i = indexOfKey(lines, this.last + 1); i < lines.length; i++) {
      const entry = lines[i]
      if (entry && !entry.skipped) this.set.add(entry.container)
    }
    this.last = lines.at(-1)?.key ?? this.last
    if (this.set.size !== before) this.sorted = [...this.set].sort()
    return this.sorted
  }
}
