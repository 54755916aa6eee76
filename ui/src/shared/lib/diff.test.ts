import { describe, expect, it } from 'vitest'
import { countChanges, diffLines, folded } from './diff'

const short = (before: string, after: string) => diffLines(before, after).map(({ kind, text }) => `${{ same: ' ', removed: '-', added: '+' }[kind]}${text}`)

describe('diffLines', () => {
  it.each([
    ['', '', []],
    ['a\n', 'a', [' a']],
    ['a\r\nb\r\n', 'a\nb\n', [' a', ' b']],
    ['a\nb\nc', 'a\nx\nc', [' a', '-b', '+x', ' c']],
    ['', 'a\nb', ['+a', '+b']],
    ['a\nb', '', ['-a', '-b']],
    ['a\nb\nc\nd', 'b\nc\nx\nd', ['-a', ' b', ' c', '+x', ' d']],
    ['x\nx\nx', 'x\nx', [' x', ' x', '-x']],
  ])('%j to %j', (before, after, lines) => expect(short(before, after)).toEqual(lines))

  it('rebuilds both texts, whatever they are', () => {
    let state = 7
    const next = (n: number) => (state = (state * 48_271) % 2_147_483_647) % n
    for (let round = 0; round < 200; round++) {
      const text = () => Array.from({ length: next(12) }, () => 'abc'[next(3)]).join('\n')
      const [before, after] = [text(), text()]
      const lines = diffLines(before, after)
      const side = (kind: 'removed' | 'added') => lines.filter((line) => line.kind === 'same' || line.kind === kind).map((line) => line.text)
      expect(side('removed').join('\n')).toBe(before)
      expect(side('added').join('\n')).toBe(after)
      expect(lines.flatMap((line) => (line.before ? [line.before] : []))).toEqual(side('removed').map((_, i) => i + 1))
      expect(lines.flatMap((line) => (line.after ? [line.after] : []))).toEqual(side('added').map((_, i) => i + 1))
    }
  })

  it('tells very long texts as replaced instead of never ending', () => {
    const long = (word: string) => Array.from({ length: 20_000 }, (_, i) => `${word}${i}`).join('\n')
    expect(countChanges(diffLines(long('a'), long('b')))).toEqual({ added: 20_000, removed: 20_000 })
  })
})

describe('folded', () => {
  it('keeps three lines around each change', () => {
    const before = Array.from({ length: 20 }, (_, i) => `l${i}`)
    const after = before.map((line, i) => (i === 10 ? 'changed' : line))
    const shown = folded(diffLines(before.join('\n'), after.join('\n')))
    expect(shown[0]).toEqual({ kind: 'fold', count: 7 })
    expect(shown).toHaveLength(1 + 3 + 2 + 3 + 1)
    expect(shown.at(-1)).toEqual({ kind: 'fold', count: 6 })
  })
})
