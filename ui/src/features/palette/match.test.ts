import { beforeEach, describe, expect, it } from 'vitest'
import { addRecent, rank, readRecent, score } from './match'

describe('score', () => {
  it('prefers the whole, then the beginning, then a word, then anything', () => {
    const points = ['shop', 'shop-web', 'my-shop', 'workshop', 'suhop-x', 'web'].map((text) => score(text, 'shop'))
    expect(points).toEqual([...points].sort((a, b) => b - a))
    expect(points.at(-1)).toBe(0)
  })
  it.each([
    ['Deploy app from compose', 'compose app', true],
    ['Deploy app', 'DEPLOY', true],
    ['Élan', 'elan', true],
    ['部署应用', '部署', true],
    ['Deploy app', 'dpa', true],
    ['Deploy app', 'da', false],
    ['Deploy app', 'zebra', false],
    ['anything', '', true],
  ])('%s answers %j: %s', (text, typed, answers) => expect(score(text, typed) > 0).toBe(answers))
})

describe('rank', () => {
  it('finds an offer by its English keywords in any language, and keeps the order of equals', () => {
    const offers = [
      { id: 'a', label: '拉取镜像', keywords: 'pull image' },
      { id: 'b', label: '上传镜像归档', keywords: 'upload image' },
      { id: 'c', label: '退出登录', keywords: 'sign out' },
    ]
    expect(rank(offers, 'image').map(({ id }) => id)).toEqual(['a', 'b'])
    expect(rank(offers, '').map(({ id }) => id)).toEqual(['a', 'b', 'c'])
  })
})

describe('recent', () => {
  beforeEach(() => localStorage.clear())
  it('keeps the newest first, each once, for each person', () => {
    for (const id of ['a', 'b', 'c', 'a']) addRecent('me', { id, label: id, to: `/apps/${id}` })
    addRecent('me', { id: 'action', label: 'does', run: () => {} })
    expect(readRecent('me').map(({ id }) => id)).toEqual(['a', 'c', 'b'])
    expect(readRecent('you')).toEqual([])
  })
  it('takes nothing from storage that leads out of the console', () => {
    localStorage.setItem('skerry.recent.me', JSON.stringify([{ id: 'x', label: 'x', to: 'https://evil.example/' }, 7, { id: 'y', label: 'y', to: '/apps/y' }]))
    expect(readRecent('me').map(({ id }) => id)).toEqual(['y'])
    localStorage.setItem('skerry.recent.me', 'no json')
    expect(readRecent('me')).toEqual([])
  })
})
