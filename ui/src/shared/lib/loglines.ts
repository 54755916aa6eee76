import { plainText } from './ansi'

/** An entry of a log as it is kept: a line, or the number of lines that were passed over at this place. Keys only rise. */
export interface LogEntry {
  key: number
  time: string
  stream: 'stdout' | 'stderr'
  container: string
  line: string
  skipped?: number
}

/** The longest part of a line that is shown, in characters; the download has the whole. */
export const longestShown = 10_000

/** The index of the first entry whose key is at least this. */
export function indexOfKey(lines: readonly LogEntry[], key: number): number {
  let low = 0
  let high = lines.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((lines[middle]?.key ?? Infinity) < key) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * Keeps those lines of a growing log that pass a test. The log loses entries at its front and gains some at its end, so
 * each entry is tested once, however long the log is; another test (named by `id`) begins anew.
 */
export class LogFilter {
  private id: string | undefined
  private last = -1
  private kept: LogEntry[] = []

  update(lines: readonly LogEntry[], id: string, test: (entry: LogEntry) => boolean): readonly LogEntry[] {
    const first = lines[0]?.key ?? Infinity
    if (id !== this.id || (lines.at(-1)?.key ?? -1) < this.last) {
      this.id = id
      this.last = -1
      this.kept = []
    }
    const gone = indexOfKey(this.kept, first)
    const from = indexOfKey(lines, this.last + 1)
    if (gone === 0 && from >= lines.length) return this.kept
    const kept = gone > 0 ? this.kept.slice(gone) : this.kept.slice()
    for (let i = from; i < lines.length; i++) {
      const entry = lines[i]
      if (entry && test(entry)) kept.push(entry)
    }
    this.kept = kept
    this.last = lines.at(-1)?.key ?? this.last
    return kept
  }
}

/** Tells whether a line contains the text, whatever its case and colours. `wanted` is in lower case. */
export function contains(entry: LogEntry, wanted: string): boolean {
  return entry.skipped === undefined && plainText(entry.line).toLowerCase().includes(wanted)
}

/** The width of a text in columns of a fixed-width font: East Asian characters take two. */
export function columnsOf(text: string): number {
  if (/^[\x00-\x7f]*$/.test(text)) return text.length
  let columns = 0
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0
    columns += code >= 0x1100 && (code <= 0x115f || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) || code >= 0x1f300) ? 2 : 1
  }
  return columns
}

/**
 * Where each line of a growing list stands, in rows of one line's height. Like the filter it does each line once: what is
 * appended is measured, what is dropped at the front is forgotten, another width measures anew.
 */
export class LogRows {
  private keys: number[] = []
  /** Rows up to and with each line, counted from the first line ever measured. */
  private ends: number[] = []
  private head = 0
  private base = 0
  private id = ''

  /** Brings the rows up to date. `columns` 0: every line is one row. */
  update(lines: readonly LogEntry[], columns: number, id: string) {
    const name = `${columns} ${id}`
    const first = lines[0]?.key
    const lastKnown = this.keys.at(-1)
    const continues = name === this.id && first !== undefined && lastKnown !== undefined && first <= lastKnown && first >= (this.keys[this.head] ?? 0)
    let from = 0
    if (continues) {
      while (this.head < this.keys.length && (this.keys[this.head] ?? 0) < first) this.head++
      if (this.head > 0) this.base = this.ends[this.head - 1] ?? this.base
      if (this.head > 50_000) {
        this.keys = this.keys.slice(this.head)
        this.ends = this.ends.slice(this.head)
        this.head = 0
      }
      from = this.keys.length - this.head
    } else {
      this.id = name
      this.keys = []
      this.ends = []
      this.head = 0
      this.base = 0
    }
    let end = this.ends.at(-1) ?? this.base
    for (let i = from; i < lines.length; i++) {
      const entry = lines[i]
      if (!entry) continue
      end += columns > 0 && !entry.skipped ? Math.max(1, Math.ceil(columnsOf(plainText(entry.line.slice(0, longestShown))) / columns)) : 1
      this.keys.push(entry.key)
      this.ends.push(end)
    }
  }

  /** How many rows have gone at the front since the lines were measured anew. */
  get gone(): number {
    return this.base
  }

  get total(): number {
    return (this.ends.at(-1) ?? this.base) - this.base
  }

  /** The first row of the line at this index. */
  top(index: number): number {
    const at = this.head + index - 1
    return (at >= 0 ? (this.ends[at] ?? this.base) : this.base) - this.base
  }

  /** The index of the line that holds this row. */
  at(row: number): number {
    const wanted = row + this.base
    let low = this.head
    let high = this.ends.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.ends[middle] ?? 0) <= wanted) low = middle + 1
      else high = middle
    }
    return low - this.head
  }
}
