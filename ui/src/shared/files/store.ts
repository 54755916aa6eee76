import type { EntryName, Place } from './paths'

export interface EntryLike extends EntryName {
  type: 'file' | 'folder' | 'link' | 'other'
  sizeBytes: number
  mode: number
  uid: number
  gid: number
  modifiedAt: string
  linkTarget?: string
  mount?: boolean
}

export interface ListingLike {
  path: string
  items: EntryLike[]
  truncated?: boolean
}

/** Whose files a browser of files shows: everything it asks for goes through here. */
export interface FileStore {
  /** Names the tree, for the cache. */
  key: string
  list: (place: Place, signal?: AbortSignal) => Promise<ListingLike>
  /** Address from which the browser saves a file. */
  href: (place: Place) => string
  /** Address from which the browser saves a folder as a tar; absent where there is none. */
  archive?: (place: Place) => string
  upload: (place: Place, file: File, progress: (sent: number, total: number) => void, signal: AbortSignal) => Promise<unknown>
  makeFolder: (place: Place) => Promise<unknown>
  remove: (place: Place, recursive: boolean) => Promise<unknown>
}

export interface TreeCount {
  files: number
  folders: number
  bytes: number
  /** Not everything was looked at. */
  more: boolean
}

/** Counts what is in a folder, in at most so many requests, so that a removal can be named in numbers. Links are not followed, mounts not entered. */
export async function countTree(list: FileStore['list'], folder: Place, join: (folder: Place, entry: EntryName) => Place, signal: AbortSignal, most = 60): Promise<TreeCount> {
  const count: TreeCount = { files: 0, folders: 0, bytes: 0, more: false }
  const waiting = [folder]
  for (let asked = 0; waiting.length > 0; asked++) {
    const next = waiting.shift()
    if (!next) break
    if (asked >= most || signal.aborted) {
      count.more = true
      break
    }
    const listing = await list(next, signal)
    count.more ||= listing.truncated ?? false
    for (const entry of listing.items) {
      if (entry.type === 'folder') {
        count.folders++
        if (!entry.mount) waiting.push(join(next, entry))
      } else {
        count.files++
        count.bytes += entry.type === 'file' ? entry.sizeBytes : 0
      }
    }
  }
  return count
}
