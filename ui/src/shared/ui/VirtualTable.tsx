import { useWindowVirtualizer } from '@tanstack/react-virtual'
import { Grid } from 'antd'
import { memo, useCallback, useLayoutEffect, useMemo, useRef, useState, type ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import './VirtualTable.css'

export interface VirtualColumn<Row> {
  key: string
  title: ReactNode
  /** A track of CSS grid, such as `minmax(180px, 2fr)` or `96px`. */
  width: string
  align?: 'right'
  /** Shown from this width on; absent: always. */
  from?: 'sm' | 'md' | 'lg' | 'xl' | 'xxl'
  sortable?: boolean
  render: (row: Row) => ReactNode
}

const breakpoints = ['sm', 'md', 'lg', 'xl', 'xxl'] as const

export interface Sort {
  key: string
  down: boolean
}

/**
 * A table of which only the rows in view exist, so that thousands scroll as ten do. It scrolls with the page; rows are of
 * one height. The caller sorts and filters, and keeps `columns` the same object while they are the same.
 */
export function VirtualTable<Row>({
  label,
  rows,
  rowKey,
  rowName,
  columns,
  rowHeight = 44,
  sort,
  onSort,
  selected,
  onSelect,
}: {
  label: string
  rows: readonly Row[]
  rowKey: (row: Row) => string
  /** What a row is called, for the label of its checkbox. */
  rowName: (row: Row) => string
  columns: readonly VirtualColumn<Row>[]
  rowHeight?: number
  sort?: Sort
  onSort?: (sort: Sort) => void
  selected?: ReadonlySet<string>
  onSelect?: (selected: ReadonlySet<string>) => void
}) {
  const { t } = useTranslation()
  const screens = Grid.useBreakpoint()
  const body = useRef<HTMLDivElement>(null)
  const [margin, setMargin] = useState(0)
  const wide = breakpoints.filter((name) => screens[name]).join()
  // The same array while the same columns are shown: rows are drawn again only when they change.
  const visible = useMemo(() => columns.filter(({ from }) => !from || wide.split(',').includes(from)), [columns, wide])
  const tracks = `${onSelect ? '20px ' : ''}${visible.map(({ width }) => width).join(' ')}`
  // What stands above the table may come and go (conditions, banners); then the page's height changes, and the place is looked up.
  useLayoutEffect(() => {
    const measure = () => setMargin(body.current ? Math.round(body.current.getBoundingClientRect().top + scrollY) : 0)
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(document.body)
    return () => observer.disconnect()
  }, [])
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => rowHeight,
    overscan: 6,
    // Drawn once for each frame, not once for each event of the wheel.
    useFlushSync: false,
    scrollMargin: margin,
    getItemKey: (index) => {
      const row = rows[index]
      return row === undefined ? index : rowKey(row)
    },
  })
  const check = useSteady((id: string, on: boolean) => {
    const next = new Set(selected)
    if (on) next.add(id)
    else next.delete(id)
    onSelect?.(next)
  })
  const all = selected !== undefined && rows.length > 0 && rows.every((row) => selected.has(rowKey(row)))
  const some = selected !== undefined && selected.size > 0
  return (
    <div className="sk-vt" role="table" aria-label={label} aria-rowcount={rows.length + 1}>
      <div role="rowgroup" className="sk-vt-head">
        <div role="row" aria-rowindex={1} className="sk-vt-row" style={{ gridTemplateColumns: tracks }}>
          {onSelect && (
            <span role="columnheader">
              <input
                type="checkbox"
                aria-label={t('table.selectAll')}
                checked={all}
                ref={(box) => {
                  if (box) box.indeterminate = some && !all
                }}
                onChange={() => onSelect(all ? new Set() : new Set(rows.map(rowKey)))}
              />
            </span>
          )}
          {visible.map(({ key, title, align, sortable }) => (
            <span key={key} role="columnheader" className={align === 'right' ? 'sk-vt-right' : undefined} aria-sort={sort?.key === key ? (sort.down ? 'descending' : 'ascending') : undefined}>
              {sortable && onSort ? (
                <button type="button" onClick={() => onSort({ key, down: sort?.key === key ? !sort.down : false })}>
                  {title}
                  <span aria-hidden className="sk-vt-arrow">{sort?.key === key ? (sort.down ? '↓' : '↑') : ''}</span>
                </button>
              ) : (
                title
              )}
            </span>
          ))}
        </div>
      </div>
      <div ref={body} role="rowgroup" className="sk-vt-body" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((item) => {
          const row = rows[item.index]
          if (row === undefined) return null
          const key = rowKey(row)
          return (
            <Line
              key={key}
              row={row}
              id={key}
              choose={onSelect && t('table.select', { name: rowName(row) })}
              index={item.index}
              top={item.start - virtual.options.scrollMargin}
              height={rowHeight}
              columns={visible as readonly VirtualColumn<unknown>[]}
              tracks={tracks}
              checked={onSelect ? (selected?.has(key) ?? false) : undefined}
              onCheck={check}
            />
          )
        })}
      </div>
    </div>
  )
}

interface LineProps {
  row: unknown
  id: string
  /** Label of its checkbox. */
  choose: string | undefined
  index: number
  top: number
  height: number
  columns: readonly VirtualColumn<unknown>[]
  tracks: string
  checked: boolean | undefined
  onCheck: (id: string, on: boolean) => void
}

function LineOf({ row, id, choose, index, top, height, columns, tracks, checked, onCheck }: LineProps) {
  return (
    <div role="row" aria-rowindex={index + 2} className="sk-vt-row sk-vt-line" style={{ gridTemplateColumns: tracks, height, transform: `translateY(${top}px)` }}>
      {checked !== undefined && (
        <span role="cell">
          <input type="checkbox" aria-label={choose} checked={checked} onChange={(event) => onCheck(id, event.target.checked)} />
        </span>
      )}
      {columns.map(({ key, align, render }) => (
        <span key={key} role="cell" className={align === 'right' ? 'sk-vt-right' : undefined}>
          {render(row)}
        </span>
      ))}
    </div>
  )
}

const Line = memo(LineOf)

/** A function that stays the same and does what the newest one does, so that rows need no drawing when only it changed. */
function useSteady<Args extends unknown[]>(does: (...args: Args) => void): (...args: Args) => void {
  const newest = useRef(does)
  useLayoutEffect(() => {
    newest.current = does
  })
  return useCallback((...args: Args) => newest.current(...args), [])
}
