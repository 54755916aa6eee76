import { describe, expect, it } from 'vitest'
import { inside, linkPlace, modeText, nameFault, nameParts, parentOf, rootPlace, trail } from './paths'
import { countTree, type EntryLike } from './store'

const b64 = (...bytes: number[]) => btoa(String.fromCharCode(...bytes))

describe('places', () => {
  it('go into folders and back', () => {
    const place = inside(inside(rootPlace, { name: 'var' }), { name: 'new\nline 🎉' })
    expect(place).toEqual({ path: '/var/new\nline 🎉' })
    expect(trail(place).map(({ name }) => name)).toEqual(['/', 'var', 'new\nline 🎉'])
    expect(parentOf(place)).toEqual({ path: '/var' })
    expect(parentOf(rootPlace)).toEqual(rootPlace)
  })
  it('keep the bytes of names that are no UTF-8, and of all that is in them', () => {
    const broken = inside({ path: '/tmp' }, { name: 'br\uFFFD', rawName: b64(0x62, 0x72, 0xff) })
    expect(broken).toEqual({ path: '/tmp/br\uFFFD', raw: btoa('/tmp/br\xff') })
    const below = inside(broken, { name: 'é' })
    expect(below.raw).toBe(btoa('/tmp/br\xff/\xc3\xa9'))
    expect(trail(below).map(({ place }) => place.raw)).toEqual([undefined, btoa('/tmp'), btoa('/tmp/br\xff'), btoa('/tmp/br\xff/\xc3\xa9')])
    expect(inside(rootPlace, { name: '\uFFFD', rawName: b64(0xff) }).raw).toBe(btoa('/\xff'))
  })
  it('follow links by their names', () => {
    expect(linkPlace({ path: '/usr' }, 'bin')).toEqual({ path: '/usr/bin' })
    expect(linkPlace({ path: '/usr/lib' }, '../../etc/./x')).toEqual({ path: '/etc/x' })
    expect(linkPlace({ path: '/usr' }, '/../../srv')).toEqual({ path: '/srv' })
  })
})

describe('names', () => {
  const shown = (name: string) => nameParts(name).map(({ text, sign }) => (sign ? `[${text}]` : text)).join('')
  it.each([
    ['plain.txt', 'plain.txt'],
    ['new\nline', 'new[\\n]line'],
    ['evil\u202Egnp.exe', 'evil[U+202E]gnp.exe'],
    ['zero\u200Bwidth', 'zero[U+200B]width'],
    ['\x1b[31mred', '[U+001B][31mred'],
    ['party 🎉👩‍🔬', 'party 🎉👩‍🔬'],
    ['中文', '中文'],
  ])('%j', (name, text) => expect(shown(name)).toBe(text))
  it.each([
    ['ok', undefined],
    ['', 'empty'],
    ['a/b', 'slash'],
    ['..', 'dots'],
    ['é'.repeat(128), 'long'],
  ])('new name %j: %s', (name, fault) => expect(nameFault(name)).toBe(fault))
  it('writes modes as ls does', () => expect([0o755, 0o640, 0o4711, 0o1777, 0o1666, 0].map(modeText)).toEqual(['rwxr-xr-x', 'rw-r-----', 'rws--x--x', 'rwxrwxrwt', 'rw-rw-rwT', '---------']))
})

describe('countTree', () => {
  const entry = (name: string, type: EntryLike['type'], sizeBytes = 0, mount = false): EntryLike => ({ name, type, sizeBytes, mode: 0, uid: 0, gid: 0, modifiedAt: '', mount })
  const tree: Record<string, EntryLike[]> = {
    '/a': [entry('b', 'folder'), entry('x', 'file', 10), entry('l', 'link', 999), entry('m', 'folder', 0, true)],
    '/a/b': [entry('y', 'file', 5), entry('z', 'file', 7)],
    '/a/m': [entry('not counted', 'file', 1_000)],
  }
  const list = (place: { path: string }) => Promise.resolve({ path: place.path, items: tree[place.path] ?? [] })
  it('counts what is in a folder, without following links or entering mounts', async () => {
    expect(await countTree(list, { path: '/a' }, inside, new AbortController().signal)).toEqual({ files: 4, folders: 2, bytes: 22, more: false })
  })
  it('stops after so many requests and says that there is more', async () => {
    expect(await countTree(list, { path: '/a' }, inside, new AbortController().signal, 1)).toEqual({ files: 2, folders: 2, bytes: 10, more: true })
  })
})
