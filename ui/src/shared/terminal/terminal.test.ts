import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { absent, channels, controlFrame, inputFrames, readFrame, type ChannelEvents, type OpenChannel } from './channel'
import { TerminalSession, type SessionState } from './session'

const bytes = (...list: number[]) => new Uint8Array(list).buffer
const framed = (channel: number, text: string) => bytes(channel, ...new TextEncoder().encode(text))

describe('frames', () => {
  it('carry input in pieces that the server takes', () => {
    expect(inputFrames('é').map((frame) => [...frame])).toEqual([[0, 0xc3, 0xa9]])
    const frames = inputFrames('x'.repeat(150_000))
    expect(frames.map((frame) => frame.length)).toEqual([65_537, 65_537, 18_929])
    expect(frames.every((frame) => frame[0] === channels.stdin)).toBe(true)
  })
  it('carry sizes', () => expect(new TextDecoder().decode(controlFrame({ resize: { cols: 80, rows: 24 } }))).toBe('\x03{"resize":{"cols":80,"rows":24}}'))
  it('are read by their first byte, and what has no meaning is nothing', () => {
    expect(readFrame(framed(1, 'hi'))).toEqual({ channel: 'output', bytes: new Uint8Array([104, 105]), stderr: false })
    expect(readFrame(framed(2, ''))).toMatchObject({ stderr: true })
    expect(readFrame(framed(3, '{"exit":3}'))).toEqual({ channel: 'control', control: { exit: 3 } })
    for (const wrong of [framed(3, '{'), framed(3, '7'), framed(9, 'x'), bytes()]) expect(readFrame(wrong)).toBeNull()
  })
  it('tells a program that is not there from one that ended so', () => {
    expect(absent({ kind: 'exit', code: 127 }, false)).toBe(true)
    expect(absent({ kind: 'exit', code: 127 }, true)).toBe(false)
    expect(absent({ kind: 'exit', code: 1 }, false)).toBe(false)
    expect(absent({ kind: 'lost' }, false)).toBe(false)
  })
})

describe('session', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())
  function rig(wanted: readonly string[] | 'shell' | null) {
    const opened: { command: readonly string[] | null; size: { cols: number; rows: number }; events: ChannelEvents; sent: string[]; closed: boolean }[] = []
    const open: OpenChannel = (command, size, events) => {
      const made = { command, size, events, sent: [] as string[], closed: false }
      opened.push(made)
      return { write: (text) => void made.sent.push(text), resize: (cols, rows) => void made.sent.push(`${cols}x${rows}`), close: () => void (made.closed = true) }
    }
    const states: SessionState[] = []
    const seen: string[] = []
    const session = new TerminalSession(open, { onState: (state) => states.push(state), onOutput: (out) => seen.push(new TextDecoder().decode(out)), onAgain: () => seen.push('<again>') }, wanted)
    session.start(100, 30)
    return { opened, states, seen, session, last: () => opened[opened.length - 1]! }
  }
  const out = (text: string) => new TextEncoder().encode(text)

  it('tries bash, then sh, without showing why the first was not there', () => {
    const { opened, seen, states, last } = rig('shell')
    expect(last().command).toEqual(['/bin/bash'])
    expect(last().size).toEqual({ cols: 100, rows: 30 })
    last().events.onOpen()
    last().events.onOutput(out('skerry: no such program'), true)
    last().events.onEnd({ kind: 'exit', code: 127 })
    expect(last().command).toEqual(['/bin/sh'])
    last().events.onOpen()
    last().events.onOutput(out('/ # '), false)
    expect(seen).toEqual(['/ # '])
    // A container without any shell says so.
    last().events.onOutput(out('skerry: no /bin/sh'), true)
    last().events.onEnd({ kind: 'exit', code: 127 })
    expect(opened).toHaveLength(2)
    expect(seen.at(-1)).toBe('skerry: no /bin/sh')
    expect(states.at(-1)).toMatchObject({ kind: 'ended', end: { kind: 'exit', code: 127 } })
  })
  it('stays ended when the person’s own shell ends, and begins again when asked', () => {
    const { opened, states, seen, session, last } = rig('shell')
    last().events.onOpen()
    session.write('nothing\r')
    last().events.onEnd({ kind: 'exit', code: 127 })
    expect(states.at(-1)).toMatchObject({ kind: 'ended' })
    session.restart()
    expect(opened).toHaveLength(2)
    last().events.onOpen()
    expect(seen).toContain('<again>')
  })
  it('opens a lost connection anew, later each time, with the newest size', () => {
    const { opened, states, session, last } = rig(['top'])
    last().events.onOpen()
    session.resize(120, 40)
    session.resize(120, 40)
    expect(last().sent).toEqual(['120x40'])
    last().events.onEnd({ kind: 'lost' })
    expect(states.at(-1)).toMatchObject({ kind: 'away', retryIn: 1_000 })
    vi.advanceTimersByTime(1_000)
    expect(last().size).toEqual({ cols: 120, rows: 40 })
    last().events.onEnd({ kind: 'lost' })
    expect(states.at(-1)).toMatchObject({ kind: 'away', retryIn: 2_000 })
    vi.advanceTimersByTime(2_000)
    last().events.onOpen()
    last().events.onOutput(out('up'), false)
    last().events.onEnd({ kind: 'lost' })
    // What worked in between makes the next wait short again.
    expect(states.at(-1)).toMatchObject({ kind: 'away', retryIn: 1_000 })
    session.close()
    vi.advanceTimersByTime(60_000)
    expect(opened).toHaveLength(3)
  })
  it('does not try again what was refused, and hears nothing from a connection that it left', () => {
    const { opened, states, seen, session } = rig(null)
    const first = opened[0]!
    session.restart()
    expect(first.closed).toBe(true)
    first.events.onOutput(out('late'), false)
    first.events.onEnd({ kind: 'lost' })
    expect(seen).toEqual([])
    opened[1]!.events.onEnd({ kind: 'error', sentence: 'You may not.' })
    vi.advanceTimersByTime(60_000)
    expect(opened).toHaveLength(2)
    expect(states.at(-1)).toMatchObject({ kind: 'ended', end: { sentence: 'You may not.' } })
  })
})
