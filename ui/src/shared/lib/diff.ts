/** A line of a difference: in both texts, only in the old one, or only in the new one. */
export interface DiffLine {
  kind: 'same' | 'removed' | 'added'
  text: string
  /** Line numbers from 1. */
  before?: number
  after?: number
}

/** Longer texts than this, in lines after the equal ends, are told as wholly replaced: the table would be too large. */
const longest = 3_000

/** The difference of two texts by lines, with as few changed lines as there can be. */
export function diffLines(before: string, after: string): DiffLine[] {
  const a = split(before)
  const b = split(after)
  let start = 0
  while (start < a.length && start < b.length && a[start] === b[start]) start++
  let endA = a.length
  let endB = b.length
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA--
    endB--
  }
  const lines: DiffLine[] = []
  const same = (i: number, j: number) => lines.push({ kind: 'same', text: a[i] ?? '', before: i + 1, after: j + 1 })
  for (let i = 0; i < start; i++) same(i, i)
  const [n, m] = [endA - start, endB - start]
  let i = 0
  let j = 0
  if (n <= longest && m <= longest) {
    // The longest common part of each pair of tails, from the end: what is walked from the beginning then prefers removals.
    const width = m + 1
    const table = new Uint16Array((n + 1) * width)
    for (let x = n - 1; x >= 0; x--)
      for (let y = m - 1; y >= 0; y--)
        table[x * width + y] = a[start + x] === b[start + y] ? (table[(x + 1) * width + y + 1] ?? 0) + 1 : Math.max(table[(x + 1) * width + y] ?? 0, table[x * width + y + 1] ?? 0)
    while (i < n && j < m) {
      if (a[start + i] === b[start + j]) same(start + i++, start + j++)
      else if ((table[(i + 1) * width + j] ?? 0) >= (table[i * width + j + 1] ?? 0)) lines.push({ kind: 'removed', text: a[start + i] ?? '', before: start + ++i })
      else lines.push({ kind: 'added', text: b[start + j] ?? '', after: start + ++j })
    }
  }
  while (i < n) lines.push({ kind: 'removed', text: a[start + i] ?? '', before: start + ++i })
  while (j < m) lines.push({ kind: 'added', text: b[start + j] ?? '', after: start + ++j })
  for (let x = endA, y = endB; x < a.length; x++, y++) same(x, y)
  return lines
}

/** A text's lines; the end of the last one makes no line of its own, and a CR before an LF is no difference. */
function split(text: string): string[] {
  const lines = text.replaceAll('\r\n', '\n').split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}

/** Lines that are the same for long are folded: what stays is `around` lines at each change. */
export function folded(lines: DiffLine[], around = 3): (DiffLine | { kind: 'fold'; count: number })[] {
  const near = new Uint8Array(lines.length)
  lines.forEach((line, i) => {
    if (line.kind !== 'same') near.fill(1, Math.max(0, i - around), i + around + 1)
  })
  const shown: (DiffLine | { kind: 'fold'; count: number })[] = []
  let hidden = 0
  const flush = () => {
    if (hidden > 0) shown.push({ kind: 'fold', count: hidden })
    hidden = 0
  }
  lines.forEach((line, i) => {
    if (near[i]) {
      flush()
      shown.push(line)
    } else hidden++
  })
  flush()
  return shown
}

/** How many lines came and went. */
export function countChanges(lines: DiffLine[]): { added: number; removed: number } {
  return { added: lines.filter(({ kind }) => kind === 'added').length, removed: lines.filter(({ kind }) => kind === 'removed').length }
}
