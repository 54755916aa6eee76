/** The frames of a terminal's socket: the first byte says which channel. */
export const channels = { stdin: 0, stdout: 1, stderr: 2, control: 3 } as const

/** What control frames carry: the first three from us, the last two from the server, which then closes. */
export interface Control {
  resize?: { cols: number; rows: number }
  closeStdin?: boolean
  signal?: string
  exit?: number
  error?: string
}

const encoder = new TextEncoder()

/** Input as frames. A paste may be large and the server takes at most 256 KiB at a time. */
export function inputFrames(text: string, most = 64 << 10): Uint8Array<ArrayBuffer>[] {
  const bytes = encoder.encode(text)
  const frames: Uint8Array<ArrayBuffer>[] = []
  for (let at = 0; at < bytes.length || at === 0; at += most) {
    const part = bytes.subarray(at, at + most)
    const frame = new Uint8Array(1 + part.length)
    frame[0] = channels.stdin
    frame.set(part, 1)
    frames.push(frame)
  }
  return frames
}

export function controlFrame(control: Control): Uint8Array<ArrayBuffer> {
  const body = encoder.encode(JSON.stringify(control))
  const frame = new Uint8Array(1 + body.length)
  frame[0] = channels.control
  frame.set(body, 1)
  return frame
}

export type Frame = { channel: 'output'; bytes: Uint8Array; stderr: boolean } | { channel: 'control'; control: Control } | null

/** Takes a frame apart; null for what has no meaning here. */
export function readFrame(data: ArrayBuffer): Frame {
  const bytes = new Uint8Array(data)
  const [channel] = bytes
  if (channel === channels.stdout || channel === channels.stderr) return { channel: 'output', bytes: bytes.subarray(1), stderr: channel === channels.stderr }
  if (channel !== channels.control) return null
  try {
    const control: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(1)))
    return typeof control === 'object' && control !== null ? { channel: 'control', control: control as Control } : null
  } catch {
    return null
  }
}

/** How a terminal's command ended. */
export type End =
  /** The command ended by itself. */
  | { kind: 'exit'; code: number }
  /** The server says that it could not go on, or not begin. */
  | { kind: 'error'; sentence: string; code?: string; requestId?: string }
  /** The connection broke, and with it the command. */
  | { kind: 'lost' }

/** An open terminal. */
export interface Channel {
  write: (text: string) => void
  resize: (cols: number, rows: number) => void
  close: () => void
}

export interface ChannelEvents {
  onOpen: () => void
  onOutput: (bytes: Uint8Array, stderr: boolean) => void
  onEnd: (end: End) => void
}

/** Opens a command's terminal (or a container's own, without a command) at a size. */
export type OpenChannel = (command: readonly string[] | null, size: { cols: number; rows: number }, events: ChannelEvents) => Channel

/** What runs when nobody names a command: the first of these that the container has. */
export const shells: readonly (readonly string[])[] = [['/bin/bash'], ['/bin/sh']]

/**
 * Whether an end means that the container does not have this program, so that the next shell is worth a try: the server ends
 * a command that it cannot find or start with 127 or 126, as shells do. Once somebody has typed it is the person's own.
 */
export function absent(end: End, typed: boolean): boolean {
  return end.kind === 'exit' && (end.code === 127 || end.code === 126) && !typed
}
