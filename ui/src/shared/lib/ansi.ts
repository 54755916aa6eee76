/** A run of log text with one look. */
export interface Run {
  text: string
  /** 0-15: the terminal's colours; undefined is the default. */
  color?: number
  bold?: boolean
  dim?: boolean
}

// Colour runs (SGR) are understood; every other escape sequence and control character is dropped.
const sequence = /\x1b\[([0-9;]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f]/g

/** Splits a line of a log into runs. */
export function parseAnsi(line: string): Run[] {
  const runs: Run[] = []
  let look: Omit<Run, 'text'> = {}
  let from = 0
  const flush = (to: number) => {
    if (to > from) runs.push({ text: line.slice(from, to), ...look })
  }
  for (const match of line.matchAll(sequence)) {
    flush(match.index)
    from = match.index + match[0].length
    if (match[1] !== undefined) look = apply(look, match[1])
  }
  flush(line.length)
  return runs
}

/** The text of a line without any escape sequence, for search and download. */
export function plainText(line: string): string {
  return line.replace(sequence, '')
}

function apply(look: Omit<Run, 'text'>, codes: string): Omit<Run, 'text'> {
  let next = { ...look }
  const list = codes === '' ? [0] : codes.split(';').map(Number)
  for (let i = 0; i < list.length; i++) {
    const code = list[i] ?? 0
    if (code === 0) next = {}
    else if (code === 1) next.bold = true
    else if (code === 2) next.dim = true
    else if (code === 22) next = { ...next, bold: undefined, dim: undefined }
    else if (code >= 30 && code <= 37) next.color = code - 30
    else if (code >= 90 && code <= 97) next.color = code - 82
    else if (code === 39) next.color = undefined
    else if (code === 38 || code === 48) {
      // 256 colours and true colour: the sixteen are kept, the others are shown in the default colour.
      const indexed = list[i + 1] === 5
      const value = list[i + 2]
      if (code === 38) next.color = indexed && value !== undefined && value < 16 ? value : undefined
      i += indexed ? 2 : 4
    }
  }
  return next
}
