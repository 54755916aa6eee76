import { useSearchParams } from 'react-router'

/** A column by which a list is sorted, and whether it goes down. */
export interface ListSort {
  key: string
  down: boolean
}

/** Filters and sort of a list, kept in its address: a link shows the same list, and going back finds it as it was. */
export function useListState(defaultSort: string) {
  const [search, setSearch] = useSearchParams()
  const given = search.get('sort') ?? defaultSort
  const sort: ListSort = { key: given.replace(/^-/, ''), down: given.startsWith('-') }
  const set = (name: string, value: string) =>
    setSearch(
      (old) => {
        if (value) old.set(name, value)
        else old.delete(name)
        return old
      },
      { replace: true },
    )
  return {
    /** The value of a filter; empty where it is not set. */
    of: (name: string) => search.get(name) ?? '',
    set,
    sort,
    setSort: ({ key, down }: ListSort) => {
      const next = `${down ? '-' : ''}${key}`
      set('sort', next === defaultSort ? '' : next)
    },
  }
}

/** Sorts by one value each; equals stand by their name, so that rows keep their place while they change. */
export function sortedBy<Row extends { name: string }>(rows: readonly Row[], sort: ListSort, values: Record<string, (row: Row) => string | number>): Row[] {
  const of = values[sort.key] ?? ((row: Row) => row.name)
  const compare = (a: string | number, b: string | number) => (typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }))
  return [...rows].sort((a, b) => (sort.down ? -1 : 1) * compare(of(a), of(b)) || a.name.localeCompare(b.name, undefined, { numeric: true }))
}
