/** Where a cursor stands in a YAML text: the keys that lead there, and whether a key or a value is being written. */
export interface YamlPlace {
  /** Keys from the top; `[]` stands for an item of a list. */
  path: string[]
  /** `key` where a key is begun, `value` after a colon, `item` after a dash. */
  at: 'key' | 'value' | 'item'
  /** What is written already of it, up to the cursor. */
  typed: string
  /** Offset in the line at which that begins. */
  from: number
  /** Keys that the mapping holds already, beside the one being written. */
  siblings: string[]
}

interface Line {
  indent: number
  /** Columns of dashes that begin items on this line. */
  dashes: number[]
  /** Column of the key, and the key; absent on lines without one. */
  column?: number
  key?: string
  blank: boolean
}

const pair = /^("(?:[^"\\]|\\.)*"|'[^']*'|[^\s#"'{[\-][^#:]*?|-[^\s:#][^#:]*?)\s*:(?:\s|$)/

function readLine(text: string): Line {
  let column = text.search(/\S/)
  const blank = column < 0 || text.charAt(column) === '#'
  const indent = column < 0 ? text.length : column
  const dashes: number[] = []
  while (column >= 0 && /^-(\s|$)/.test(text.slice(column))) {
    dashes.push(column)
    const next = text.slice(column + 1).search(/\S/)
    if (next < 0) return { indent, dashes, blank }
    column += 1 + next
  }
  const found = column >= 0 ? pair.exec(text.slice(column)) : null
  if (!found) return { indent, dashes, blank, column }
  return { indent, dashes, blank, column, key: (found[1] ?? '').replace(/^(["'])(.*)\1$/, '$2').trim() }
}

/**
 * Finds the place of a cursor by indentation alone, so that it works in a text that is not yet valid. Flow collections
 * (`{a: b}`) and block scalars are not looked into.
 */
export function yamlPlace(lines: string[], line: number, column: number): YamlPlace {
  const whole = lines[line] ?? ''
  const before = whole.slice(0, column)
  const here = readLine(before)
  let at: YamlPlace['at']
  let from: number
  // The column at which the thing being written stands: parents stand left of it.
  let stand: number
  const path: string[] = []
  const items = here.dashes.length
  if (here.key !== undefined && here.column !== undefined) {
    at = 'value'
    const colon = before.indexOf(':', here.column + here.key.length)
    from = colon + 1 + (/^\s*/.exec(before.slice(colon + 1))?.[0].length ?? 0)
    stand = here.column
    path.push(here.key)
  } else {
    const begin = before.slice(items > 0 ? (here.dashes.at(-1) ?? 0) + 1 : 0)
    from = before.length - begin.trimStart().length
    if (begin.trimStart() === '') from = before.length
    at = items > 0 ? 'item' : 'key'
    stand = items > 0 ? (here.column ?? (here.dashes.at(-1) ?? 0) + 2) : from
  }
  const up: string[] = []
  let left = stand
  /** The column of the dashes of the list that is being left upwards; other items of it are neighbours. */
  let list: number | undefined
  const leaveItems = (dashes: number[]) => {
    for (const dash of [...dashes].reverse()) {
      if (dash >= (list ?? left)) continue
      up.push('[]')
      list = dash
      left = dash
    }
  }
  leaveItems(here.dashes)
  for (let i = line - 1; i >= 0; i--) {
    const above = readLine(lines[i] ?? '')
    if (above.blank || (list !== undefined && above.dashes.includes(list))) continue
    // What owns a list may stand at the very column of its dashes.
    if (above.key !== undefined && above.column !== undefined && above.column < (list === undefined ? left : list + 1)) {
      up.push(above.key)
      left = above.column
      list = undefined
    }
    leaveItems(above.dashes)
  }
  path.unshift(...up.reverse())
  return { path, at, typed: before.slice(from), from, siblings: siblingsOf(lines, line, stand) }
}

/** The keys at the same column within the same mapping, above and below. */
function siblingsOf(lines: string[], line: number, stand: number): string[] {
  const keys: string[] = []
  const gather = (step: 1 | -1) => {
    for (let i = line + step; i >= 0 && i < lines.length; i += step) {
      const other = readLine(lines[i] ?? '')
      if (other.blank) continue
      const column = other.column ?? other.indent
      if (column === stand && other.key !== undefined) {
        if (step === 1 && other.dashes.length > 0) return
        keys.push(other.key)
        if (other.dashes.length > 0) return
      } else if (other.indent < stand && column < stand) return
    }
  }
  gather(-1)
  gather(1)
  return keys
}
