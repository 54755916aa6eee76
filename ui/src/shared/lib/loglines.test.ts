import { describe, expect, it } from 'vitest'
import { LogFeed } from './logfeed'
import { columnsOf, contains, indexOfKey, LogFilter, LogRows, type LogEntry } from './loglines'

const entry = (key: number, line = `line ${key}`): LogEntry => ({ key, time: '2026-11-21T08:00:00Z', stream: key % 3 === 0 ? 'stderr' : 'stdout', container: 'web-1', line })
const log = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => entry(from + i))

describe('LogFeed', () => {
  const encode = (text: string) => new TextEncoder().encode(text)
  const event = (n: number) => `event: log\ndata: {"line":"${n} 行"}\n\n`
  const whole = `${event(1)}: alive\n\n${event(2)}event: problem\ndata: {}\n\n${event(3)}`

  it('reads a stream however it is cut, within a character too', () => {
    const bytes = encode(whole)
    for (let size = 1; size <= bytes.length; size++) {
      const feed = new LogFeed()
      const got: string[] = []
      for (let at = 0; at < bytes.length; at += size) {
        const { events, skipped } = feed.push(bytes.subarray(at, at + size), Infinity)
        expect(skipped).toBe(0)
        got.push(...events.map((each) => `${each.event} ${each.data}`))
      }
      expect(got, `in pieces of ${size}`).toEqual(['log {"line":"1 行"}', 'log {"line":"2 行"}', 'problem {}', 'log {"line":"3 行"}'])
    }
  })
  it('counts lines beyond the budget, but never passes over what is no line', () => {
    const { events, skipped } = new LogFeed().push(encode(whole), 1)
    expect(events.map(({ event: name }) => name)).toEqual(['log', 'problem'])
    expect(skipped).toBe(2)
  })
  it('passes over fifty megabytes in a moment', () => {
    const piece = encode(event(7).replace('7', 'x'.repeat(180)).repeat(300))
    const feed = new LogFeed()
    let lines = 0
    const begun = performance.now()
    for (let sent = 0; sent < 50_000_000; sent += piece.length) {
      const { events, skipped } = feed.push(piece, 0)
      lines += events.length + skipped
    }
    expect(lines).toBeGreaterThan(200_000)
    expect(performance.now() - begun).toBeLessThan(1_500)
  })
})

describe('LogFilter', () => {
  it('tests each line once, while the log gains at its end and loses at its front', () => {
    const filter = new LogFilter()
    let tested = 0
    const even = ({ key }: LogEntry) => {
      tested++
      return key % 2 === 0
    }
    expect(filter.update(log(0, 6), 'even', even).map(({ key }) => key)).toEqual([0, 2, 4])
    expect(filter.update(log(3, 9), 'even', even).map(({ key }) => key)).toEqual([4, 6, 8])
    expect(tested).toBe(9)
    const same = filter.update(log(3, 9), 'even', even)
    expect(filter.update(log(3, 9), 'even', even)).toBe(same)
    expect(filter.update(log(3, 9), 'all', () => true)).toHaveLength(6)
  })
  it('finds text whatever its case and colours', () => {
    expect(contains(entry(1, '\x1b[31mERR\x1b[0mor'), 'error')).toBe(true)
    expect(contains({ ...entry(1, 'x'), skipped: 3 }, 'x')).toBe(false)
  })
  it('finds a key by halves', () => expect([-1, 3, 5, 99].map((key) => indexOfKey(log(3, 8), key))).toEqual([0, 0, 2, 5]))
})

describe('LogRows', () => {
  it('counts wrapped rows, wide characters double, and keeps its place while lines come and go', () => {
    expect([columnsOf('abc'), columnsOf('中文a'), columnsOf('')]).toEqual([3, 5, 0])
    const rows = new LogRows()
    const lines = [entry(0, 'x'.repeat(25)), entry(1, 'short'), entry(2, '中'.repeat(8)), entry(3, '')]
    rows.update(lines, 10, '')
    expect([0, 1, 2, 3, 4].map((index) => rows.top(index))).toEqual([0, 3, 4, 6, 7])
    expect([0, 2, 3, 5, 6].map((row) => rows.at(row))).toEqual([0, 0, 1, 2, 3])
    expect(rows.total).toBe(7)
    rows.update([...lines.slice(2), entry(4, 'x'.repeat(11))], 10, '')
    expect([rows.gone, rows.total, rows.top(1), rows.at(2)]).toEqual([4, 5, 2, 1])
    rows.update(lines, 0, '')
    expect([rows.gone, rows.total]).toEqual([0, 4])
  })
  it('holds a hundred thousand lines and stays quick as they roll', () => {
    const rows = new LogRows()
    let lines = log(0, 100_000)
    rows.update(lines, 80, '')
    const begun = performance.now()
    for (let n = 0; n < 50; n++) {
      lines = lines.slice(2_000).concat(log(100_000 + n * 2_000, 102_000 + n * 2_000))
      rows.update(lines, 80, '')
      expect(rows.total).toBe(100_000)
    }
    expect((performance.now() - begun) / 50).toBeLessThan(40)
    expect(rows.at(99_999)).toBe(99_999)
  })
})
