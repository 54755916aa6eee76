import { useQuery, useQueryClient } from '@tanstack/react-query'
import { App, Button, Input, Progress, Skeleton } from 'antd'
import { useMemo, useRef, useState, type ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import { formatBytes } from '../lib/format'
import { runTask } from '../lib/tasks'
import { ConfirmDialog } from '../ui/ConfirmDialog'
import { DeleteOutlined, DownloadOutlined, FileOutlined, FolderOutlined, LinkOutlined, PlusOutlined, UploadOutlined } from '../ui/icons'
import { ProblemAlert } from '../ui/ProblemAlert'
import { SameAs, type Equivalents } from '../ui/SameAs'
import { Time } from '../ui/Time'
import { VirtualTable, type Sort, type VirtualColumn } from '../ui/VirtualTable'
import { asLike, FolderDialog, RemoveFileDialog } from './dialogs'
import './files.css'
import { FileName } from './FileName'
import { inside, modeText, parentOf, rootPlace, trail, type Place } from './paths'
import type { EntryLike, FileStore } from './store'

interface Upload {
  id: number
  name: string
  sent: number
  total: number
  stop: AbortController
  problem?: { message: string; code: string; requestId: string }
}

let nextUpload = 1

/** The files of a container or a volume: look around, send and fetch, make folders, remove. Where it looks is the caller's to keep. */
export function FileBrowser({ store, place, onPlace, to, same, readOnly, note }: { store: FileStore; place: Place; onPlace: (place: Place) => void; /** Path of the page, where the top bar's tasks lead. */ to: string; same: (place: Place) => Equivalents; readOnly?: boolean; note?: ReactNode }) {
  const { t } = useTranslation()
  const { message } = App.useApp()
  const queries = useQueryClient()
  const listing = useQuery({
    queryKey: ['files', store.key, place.path, place.raw],
    queryFn: ({ signal }) => store.list(place, signal),
    staleTime: 5_000,
    // Never another folder's entries in the meantime: their buttons would mean files of this one.
    refetchInterval: 15_000,
  })
  const [filter, setFilter] = useState('')
  const [sort, setSort] = useState<Sort>({ key: 'name', down: false })
  const [uploads, setUploads] = useState<Upload[]>([])
  const [over, setOver] = useState(false)
  const [removing, setRemoving] = useState<EntryLike | null>(null)
  const [making, setMaking] = useState(false)
  const [replacing, setReplacing] = useState<{ files: File[]; names: string[] } | null>(null)
  const chooser = useRef<HTMLInputElement>(null)
  const depth = useRef(0)
  const refresh = () => queries.invalidateQueries({ queryKey: ['files', store.key] })

  const rows = useMemo(() => {
    const wanted = filter.trim().toLowerCase()
    const items = (listing.data?.items ?? []).filter((entry) => !wanted || entry.name.toLowerCase().includes(wanted))
    const order: Record<string, (a: EntryLike, b: EntryLike) => number> = {
      name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
      size: (a, b) => a.sizeBytes - b.sizeBytes,
      modified: (a, b) => a.modifiedAt.localeCompare(b.modifiedAt),
    }
    const by = order[sort.key] ?? order.name
    // Folders first, as the server gives them, whichever way the rest is sorted.
    return [...items].sort((a, b) => Number(b.type === 'folder') - Number(a.type === 'folder') || (sort.down ? -1 : 1) * (by?.(a, b) ?? 0))
  }, [listing.data, filter, sort])

  const columns = useMemo((): VirtualColumn<EntryLike>[] => {
    const name = (entry: EntryLike) => {
      const label = <FileName name={entry.name} />
      if (entry.type === 'folder' || entry.type === 'link') {
        return (
          <button type="button" className="sk-file-open" onClick={() => onPlace(inside(place, entry))}>
            {label}
          </button>
        )
      }
      if (entry.type === 'file') {
        return (
          <a className="sk-file-open" href={store.href(inside(place, entry))} download={entry.name}>
            {label}
          </a>
        )
      }
      return label
    }
    return [
      {
        key: 'name',
        title: t('column.name'),
        width: 'minmax(0, 1fr)',
        sortable: true,
        render: (entry) => (
          <span className="sk-file-name">
            {entry.type === 'folder' ? <FolderOutlined /> : entry.type === 'link' ? <LinkOutlined /> : <FileOutlined />}
            <span className="sk-visually-hidden">{t(`files.type.${entry.type}`)}</span>
            {name(entry)}
            {entry.linkTarget && (
              <span className="sk-muted sk-file-target">
                → <FileName name={entry.linkTarget} />
              </span>
            )}
            {entry.mount && <span className="sk-file-mount">{t('files.mount')}</span>}
          </span>
        ),
      },
      { key: 'size', title: t('column.size'), width: '84px', align: 'right', sortable: true, render: (entry) => (entry.type === 'file' ? formatBytes(entry.sizeBytes) : '–') },
      { key: 'mode', title: t('files.mode'), width: '92px', from: 'md', render: (entry) => <code title={entry.mode.toString(8)}>{modeText(entry.mode)}</code> },
      { key: 'owner', title: t('files.owner'), width: '90px', from: 'lg', render: (entry) => <span className="sk-number">{`${entry.uid}:${entry.gid}`}</span> },
      { key: 'modified', title: t('files.modified'), width: '130px', from: 'sm', align: 'right', sortable: true, render: (entry) => <Time at={entry.modifiedAt} /> },
      {
        key: 'actions',
        title: <span className="sk-visually-hidden">{t('column.actions')}</span>,
        width: '76px',
        align: 'right',
        render: (entry) => {
          const at = inside(place, entry)
          const fetchFrom = entry.type === 'file' ? store.href(at) : entry.type === 'folder' && at.raw === undefined ? store.archive?.(at) : undefined
          return (
            <span className="sk-nowrap">
              {fetchFrom && (
                <Button type="text" icon={<DownloadOutlined />} href={fetchFrom} download={entry.type === 'folder' ? `${entry.name}.tar` : entry.name} aria-label={entry.type === 'folder' ? t('files.downloadFolder', { name: entry.name }) : t('files.download', { name: entry.name })} />
              )}
              {!readOnly && !entry.mount && <Button type="text" icon={<DeleteOutlined />} aria-label={t('files.remove', { name: entry.name })} onClick={() => setRemoving(entry)} />}
            </span>
          )
        },
      },
    ]
  }, [place, store, onPlace, readOnly, t])

  const change = (id: number, part: Partial<Upload>) => setUploads((all) => all.map((each) => (each.id === id ? { ...each, ...part } : each)))
  const send = async (files: File[]) => {
    const folder = place
    const begun = files.map((file): Upload => ({ id: nextUpload++, name: file.name, sent: 0, total: file.size, stop: new AbortController() }))
    setUploads((all) => [...all, ...begun])
    let done = 0
    const waiting = begun.map((upload, i) => ({ upload, file: files[i] as File }))
    // Two at a time: one fills the wire, the other hides the waiting between files.
    const worker = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        const { upload, file } = next
        try {
          await runTask({ kind: 'upload', title: file.name, to }, (task) => {
            task.signal.addEventListener('abort', () => upload.stop.abort())
            return store.upload(
              inside(folder, { name: file.name }),
              file,
              (sent, total) => {
                task.progress(sent, total)
                change(upload.id, { sent, total })
              },
              upload.stop.signal,
            )
          })
          done++
          setUploads((all) => all.filter(({ id }) => id !== upload.id))
        } catch (error) {
          if (error instanceof DOMException && error.name === 'AbortError') setUploads((all) => all.filter(({ id }) => id !== upload.id))
          else change(upload.id, { problem: asLike(error) })
        }
        await refresh()
      }
    }
    await Promise.all([worker(), worker()])
    if (done > 0) message.success(t('files.uploaded', { count: done }))
  }
  const offer = (files: File[]) => {
    if (files.length === 0) return
    const known = new Set(listing.data?.items.map(({ name }) => name))
    const names = files.map(({ name }) => name).filter((name) => known.has(name))
    if (names.length > 0) setReplacing({ files, names })
    else void send(files)
  }
  const drop = (transfer: DataTransfer) => {
    // A dropped folder looks like a file of no type; only its entry tells.
    const items = [...transfer.items]
    const folders = items.some((item) => item.webkitGetAsEntry?.()?.isDirectory)
    if (folders) message.warning(t('files.noFolders'), 8)
    offer(items.flatMap((item) => (item.kind === 'file' && !item.webkitGetAsEntry?.()?.isDirectory ? [item.getAsFile()] : [])).filter((file) => file !== null))
  }
  const problem = listing.isError ? asLike(listing.error) : null
  const steps = trail(place)
  return (
    <section
      className={`sk-section sk-files ${over ? 'sk-files-over' : ''}`}
      aria-label={t('files.title')}
      onDragEnter={(event) => {
        if (readOnly || !event.dataTransfer.types.includes('Files')) return
        event.preventDefault()
        setOver(++depth.current > 0)
      }}
      onDragOver={(event) => {
        if (!readOnly && event.dataTransfer.types.includes('Files')) event.preventDefault()
      }}
      onDragLeave={(event) => {
        if (!readOnly && event.dataTransfer.types.includes('Files')) setOver(--depth.current > 0)
      }}
      onDrop={(event) => {
        if (readOnly || !event.dataTransfer.types.includes('Files')) return
        event.preventDefault()
        depth.current = 0
        setOver(false)
        drop(event.dataTransfer)
      }}
    >
      <div className="sk-files-bar">
        <nav className="sk-files-way" aria-label={t('files.way')}>
          {steps.map(({ name, place: step }, i) => (
            <span key={step.path}>
              {i > 1 && <span className="sk-muted">/</span>}
              {i === steps.length - 1 ? (
                <b aria-current="page">
                  <FileName name={name} />
                </b>
              ) : (
                <button type="button" className="sk-file-open" onClick={() => onPlace(step)}>
                  <FileName name={name} />
                </button>
              )}
            </span>
          ))}
        </nav>
        <Input allowClear style={{ width: 160 }} placeholder={t('files.filter')} aria-label={t('files.filter')} value={filter} onChange={(event) => setFilter(event.target.value)} />
        {!readOnly && (
          <>
            <input ref={chooser} type="file" multiple hidden aria-label={t('files.choose')} onChange={(event) => {
              offer([...(event.target.files ?? [])])
              event.target.value = ''
            }} />
            <Button type="primary" icon={<UploadOutlined />} onClick={() => chooser.current?.click()}>
              {t('files.upload')}
            </Button>
            <Button icon={<PlusOutlined />} onClick={() => setMaking(true)}>
              {t('files.newFolder')}
            </Button>
          </>
        )}
        {store.archive && place.raw === undefined && (
          <Button icon={<DownloadOutlined />} href={store.archive(place)} download={`${steps.at(-1)?.name.replaceAll('/', '') || 'root'}.tar`}>
            {t('files.tar')}
          </Button>
        )}
        <SameAs compact {...same(place)} />
      </div>
      {note}
      {uploads.length > 0 && (
        <ul className="sk-files-uploads" aria-label={t('files.uploads')}>
          {uploads.map((upload) => (
            <li key={upload.id}>
              <span className="sk-file-uploadname">
                <FileName name={upload.name} />
              </span>
              {upload.problem ? (
                <ProblemAlert problem={upload.problem} />
              ) : (
                <>
                  <Progress percent={upload.total > 0 ? Math.floor((upload.sent / upload.total) * 100) : 0} size="small" />
                  <span className="sk-number sk-muted">
                    {formatBytes(upload.sent)} / {formatBytes(upload.total)}
                  </span>
                </>
              )}
              <Button size="small" onClick={() => (upload.problem ? setUploads((all) => all.filter(({ id }) => id !== upload.id)) : upload.stop.abort())}>
                {upload.problem ? t('action.close') : t('action.cancel')}
              </Button>
            </li>
          ))}
        </ul>
      )}
      {problem && (
        <div className="sk-section-body">
          <ProblemAlert problem={problem} retry={() => void listing.refetch()} />
          <div className="sk-actions">
            {problem.code === 'path_not_folder' && (
              <Button icon={<DownloadOutlined />} href={store.href(place)} download={steps.at(-1)?.name}>
                {t('files.downloadThis')}
              </Button>
            )}
            {place.path !== '/' && <Button onClick={() => onPlace(parentOf(place))}>{t('files.up')}</Button>}
            {place.path !== '/' && <Button onClick={() => onPlace(rootPlace)}>{t('files.toRoot')}</Button>}
          </div>
        </div>
      )}
      {!problem && listing.isPending && (
        <div className="sk-section-body">
          <Skeleton active title={false} />
        </div>
      )}
      {!problem && listing.data && (
        <div>
          {listing.data.truncated && <p className="sk-files-note">{t('files.truncated', { count: listing.data.items.length })}</p>}
          {rows.length > 0 ? (
            <VirtualTable label={t('files.title')} rows={rows} rowKey={(entry) => entry.rawName ?? entry.name} rowName={(entry) => entry.name} columns={columns} rowHeight={40} sort={sort} onSort={setSort} />
          ) : (
            <p className="sk-muted sk-files-none">{filter ? t('files.noMatch') : readOnly ? t('files.emptyRead') : t('files.empty')}</p>
          )}
        </div>
      )}
      {over && <div className="sk-files-drop">{t('files.drop', { path: place.path })}</div>}
      {making && (
        <FolderDialog
          taken={new Set(listing.data?.items.map(({ name }) => name))}
          make={(name) => store.makeFolder(inside(place, { name }))}
          onClose={() => setMaking(false)}
          onMade={() => {
            setMaking(false)
            void refresh()
          }}
        />
      )}
      {removing && (
        <RemoveFileDialog
          entry={removing}
          place={inside(place, removing)}
          store={store}
          onClose={() => setRemoving(null)}
          onRemoved={() => {
            setRemoving(null)
            void refresh()
          }}
        />
      )}
      {replacing && (
        <ConfirmDialog
          title={t('files.replaceTitle', { count: replacing.names.length })}
          submit={t('files.replace')}
          onClose={() => setReplacing(null)}
          onSubmit={() => {
            void send(replacing.files)
            setReplacing(null)
          }}
        >
          <p>{t('files.replaceConsequence', { count: replacing.names.length })}</p>
          <ul className="sk-plan">
            {replacing.names.slice(0, 8).map((name) => (
              <li key={name}>
                <FileName name={name} />
              </li>
            ))}
          </ul>
        </ConfirmDialog>
      )}
    </section>
  )
}
