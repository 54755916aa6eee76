import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseAnsi, plainText } from './ansi'
import { formatBytes, formatCores, formatDuration, formatPercent, formatRelative, spaced } from './format'
import { parseImage, shortImage, suggestName } from './image'
import { EventStreamParser } from './sse'
import { mix, tokens } from './tokens'

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [10_650_000, '10.2 MiB'],
    [1_048_575, '1 MiB'],
    [268_435_456, '256 MiB'],
    [1_288_490_189, '1.2 GiB'],
    [-2048, '-2 KiB'],
    [Number.NaN, '–'],
  ])('%d is %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text))
})

describe('numbers', () => {
  it('cores', () => expect([0.055, 0.5, 2, 2.504].map(formatCores)).toEqual(['0.055', '0.5', '2', '2.5']))
  it('percent', () => expect([0, 0.004, 0.0512, 0.38, 1].map(formatPercent)).toEqual(['0 %', '0.4 %', '5.1 %', '38 %', '100 %']))
  it('durations in their two largest units', () => {
    expect(formatDuration(1_234_567, 'en')).toBe('14 d 6 h')
    expect(formatDuration(59.6, 'zh')).toBe('1 分钟')
    expect(formatDuration(0, 'en')).toBe('0 s')
  })
})

describe('formatRelative', () => {
  const now = new Date('2026-11-21T06:00:00Z')
  const ago = (seconds: number) => new Date(now.getTime() - seconds * 1000)
  it.each([
    [2, 'now', '刚刚'],
    [40, '40 seconds ago', '40 秒钟前'],
    [240, '4 minutes ago', '4 分钟前'],
    [86_400, '1 day ago', '1 天前'],
    [-39, 'in 39 seconds', '39 秒钟后'],
    [40_000_000, '1 year ago', '1 年前'],
  ])('%d seconds', (seconds, en, zh) => {
    expect(formatRelative(ago(seconds), now, 'en')).toBe(en)
    expect(formatRelative(ago(seconds), now, 'zh')).toBe(zh)
  })
  it('puts spaces between Chinese and numbers only in Chinese', () => {
    expect(spaced('共3个GPU', 'zh')).toBe('共 3 个 GPU')
    expect(spaced('共3个', 'en')).toBe('共3个')
  })
})

describe('images', () => {
  it.each([
    ['nginx', '', 'nginx', '', ''],
    ['library/nginx:1.27', '', 'library/nginx', '1.27', ''],
    ['localhost:5000/a/b:c', 'localhost:5000', 'a/b', 'c', ''],
    ['reg.example.com/a/b@sha256:0123', 'reg.example.com', 'a/b', '', 'sha256:0123'],
    ['a:1@sha256:0123', '', 'a', '1', 'sha256:0123'],
  ])('%s', (reference, host, path, tag, digest) => expect(parseImage(reference)).toEqual({ host, path, tag, digest }))
  it('are shown short', () => {
    expect(shortImage('library/welcome:latest')).toBe('welcome:latest')
    expect(shortImage('reg.example.com/shop/web:2')).toBe('shop/web:2')
    expect(shortImage('shop/web@sha256:0123456789abcdef')).toBe('shop/web@0123456789ab')
  })
  it('suggest a free name that the server takes', () => {
    expect(suggestName('library/welcome:latest', [])).toBe('welcome')
    expect(suggestName('nginx', ['nginx', 'nginx-2'])).toBe('nginx-3')
    expect(suggestName('reg.example.com/Team/My_App.v2:1', [])).toBe('my-app-v2')
    expect(suggestName('reg/123', [])).toBe('')
    expect(suggestName('', [])).toBe('')
  })
})

describe('EventStreamParser', () => {
  const stream = ': hello\r\nid: 7\r\nevent: change\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata\n\nid: 8\ndata:x\r\r'
  const events = [
    { id: '7', event: 'change', data: '{"a":\n1}' },
    { id: '7', event: 'message', data: '' },
    { id: '8', event: 'message', data: 'x' },
  ]
  it('reads a stream however it is cut', () => {
    for (let size = 1; size <= stream.length; size++) {
      const parser = new EventStreamParser()
      const got = []
      for (let at = 0; at < stream.length; at += size) got.push(...parser.push(stream.slice(at, at + size)))
      // A CR at the end may be half of a CRLF: the next byte decides.
      got.push(...parser.push('\n'))
      expect(got, `in pieces of ${size}`).toEqual(events)
    }
  })
  it('gives nothing for an event without data', () => {
    expect(new EventStreamParser().push('event: change\n\n')).toEqual([])
  })
})

describe('ANSI', () => {
  it('keeps colours and drops everything else', () => {
    expect(parseAnsi('\x1b[1;32mok\x1b[0m \x1b]0;title\x07plain\x1b[2K\x1b[38;5;9mred\x1b[39m!')).toEqual([
      { text: 'ok', bold: true, color: 2 },
      { text: ' ' },
      { text: 'plain' },
      { text: 'red', color: 9 },
      { text: '!', color: undefined },
    ])
    expect(plainText('\x1b[31mred\x1b[0m\r')).toBe('red')
  })
  it('survives true colour and broken codes', () => {
    expect(parseAnsi('\x1b[38;2;1;2;3mx\x1b[38m').map((run) => run.text)).toEqual(['x'])
  })
})

describe('tokens', () => {
  const luminance = (color: string) => {
    const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const contrast = (a: string, b: string) => {
    const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x)
    return (light + 0.05) / (dark + 0.05)
  }
  it.each(['light', 'dark'] as const)('are readable in %s (WCAG AA)', (scheme) => {
    const set = tokens[scheme]
    for (const name of ['text', 'muted', 'accent', 'green', 'blue', 'orange', 'red', 'grey'] as const) {
      for (const ground of [set.surface, set.page, set.raised, mix(set.muted, set.surface, 0.09)]) {
        expect(contrast(set[name], ground), `${name} on ${ground}`).toBeGreaterThanOrEqual(4.5)
      }
    }
  })
  it('match the colours of the first paint', () => {
    const css = readFileSync(join(import.meta.dirname, '../../app/base.css'), 'utf8')
    expect(css).toContain(`html { background: ${tokens.light.page};`)
    expect(css).toContain(`html[data-theme='dark'] { background: ${tokens.dark.page};`)
  })
})
