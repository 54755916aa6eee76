/** A place in a tree of files. `raw` is the base64 of its bytes, there only where they are no UTF-8; then `path` is how it looks. */
export interface Place {
  path: string
  raw?: string
}

export interface EntryName {
  name: string
  /** Base64 of the name where it is no UTF-8. */
  rawName?: string
}

export const rootPlace: Place = { path: '/' }

const encoder = new TextEncoder()

function bytesOf(place: Place): Uint8Array {
  return place.raw === undefined ? encoder.encode(place.path) : fromBase64(place.raw)
}

function fromBase64(text: string): Uint8Array {
  const binary = atob(text)
  return Uint8Array.from(binary, (char) => char.charCodeAt(0))
}

function toBase64(bytes: Uint8Array): string {
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return btoa(binary)
}

/** The place of an entry of a folder. */
export function inside(folder: Place, { name, rawName }: EntryName): Place {
  const path = folder.path === '/' ? `/${name}` : `${folder.path}/${name}`
  if (folder.raw === undefined && rawName === undefined) return { path }
  const base = bytesOf(folder)
  const rest = rawName === undefined ? encoder.encode(name) : fromBase64(rawName)
  const root = base.length === 1
  const bytes = new Uint8Array((root ? 0 : base.length) + 1 + rest.length)
  if (!root) bytes.set(base)
  bytes[root ? 0 : base.length] = 47
  bytes.set(rest, (root ? 0 : base.length) + 1)
  return { path, raw: toBase64(bytes) }
}

/** The way from the root to a place, the root first, each with its own place. */
export function trail(place: Place): { name: string; place: Place }[] {
  const steps = [{ name: '/', place: rootPlace }]
  const raw = place.raw === undefined ? undefined : bytesOf(place)
  const names = place.path.split('/').filter(Boolean)
  let path = ''
  let at = 0
  for (const name of names) {
    path += `/${name}`
    if (!raw) {
      steps.push({ name, place: { path } })
      continue
    }
    const next = raw.indexOf(47, at + 1)
    at = next < 0 ? raw.length : next
    steps.push({ name, place: { path, raw: toBase64(raw.subarray(0, at)) } })
  }
  return steps
}

/** The folder that holds a place; the root holds itself. */
export function parentOf(place: Place): Place {
  return trail(place).at(-2)?.place ?? rootPlace
}

/** Where a link leads: absolute as it says, else beside itself; `..` and `.` are resolved as far as the name alone can. */
export function linkPlace(folder: Place, target: string): Place {
  const parts = target.startsWith('/') ? [] : folder.path.split('/').filter(Boolean)
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') parts.pop()
    else parts.push(part)
  }
  return { path: `/${parts.join('/')}` }
}

// Control characters, and those that turn the direction of text around or hide: a file's name must look like what it is.
const invisible = /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/

/** A name cut into what is shown as it is and what is shown as a sign (`\n`, `U+202E`). */
export function nameParts(name: string): { text: string; sign: boolean }[] {
  const parts: { text: string; sign: boolean }[] = []
  const signs: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }
  // A joiner between two emoji makes one of them; it hides nothing.
  const chars = [...name]
  chars.forEach((char, i) => {
    const joins = char === '\u200d' && /\p{Extended_Pictographic}|\ufe0f|\p{Emoji_Modifier}/u.test(chars[i - 1] ?? '')
    const sign = invisible.test(char) && !joins
    const text = sign ? (signs[char] ?? `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`) : char
    const last = parts.at(-1)
    if (last && !last.sign && !sign) last.text += text
    else parts.push({ text, sign })
  })
  return parts
}

/** Unix permission bits as `rwxr-xr-x`. */
export function modeText(mode: number): string {
  const bits = 'rwxrwxrwx'
  let text = ''
  for (let i = 0; i < 9; i++) text += mode & (1 << (8 - i)) ? bits[i] : '-'
  const special = (at: number, on: boolean, small: string) => {
    if (on) text = text.slice(0, at) + (text[at] === 'x' ? small : small.toUpperCase()) + text.slice(at + 1)
  }
  special(2, (mode & 0o4000) !== 0, 's')
  special(5, (mode & 0o2000) !== 0, 's')
  special(8, (mode & 0o1000) !== 0, 't')
  return text
}

/** A problem with a new name; undefined when it will do. */
export function nameFault(name: string): 'empty' | 'slash' | 'dots' | 'long' | undefined {
  if (name.trim() === '') return 'empty'
  if (name.includes('/') || name.includes('\0')) return 'slash'
  if (name === '.' || name === '..') return 'dots'
  if (encoder.encode(name).length > 255) return 'long'
  return undefined
}
