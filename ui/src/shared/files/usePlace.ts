import { useCallback, useMemo } from 'react'
import { useSearchParams } from 'react-router'
import type { Place } from './paths'

/** The place in a tree of files, kept in the address of the page: a link shows the same folder, and going back finds it. */
export function usePlace(): [Place, (next: Place) => void] {
  const [search, setSearch] = useSearchParams()
  const path = search.get('path') || '/'
  const raw = search.get('raw') ?? undefined
  const place = useMemo((): Place => ({ path, raw }), [path, raw])
  const go = useCallback(
    (next: Place) =>
      setSearch((old) => {
        if (next.path === '/') old.delete('path')
        else old.set('path', next.path)
        if (next.raw === undefined) old.delete('raw')
        else old.set('raw', next.raw)
        return old
      }),
    [setSearch],
  )
  return [place, go]
}
