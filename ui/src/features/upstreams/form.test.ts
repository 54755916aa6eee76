import { describe, expect, it } from 'vitest'
import { hostName, isBaseUrl, moved, valuesOf, wishOf } from './form'

describe('upstream form', () => {
  it('sends only what is set', () => {
    expect(wishOf({ ...valuesOf(), name: ' docker.io ', endpoints: ['', ' https://mirror.example.com '] })).toEqual({ name: 'docker.io', spec: { endpoints: ['https://mirror.example.com'] }, password: undefined })
  })

  it('leaves a password that is not typed as it is, and removes it only when told to', () => {
    expect(wishOf({ ...valuesOf(), password: '' }).password).toBeUndefined()
    expect(wishOf({ ...valuesOf(), forget: true }).password).toBe('')
    expect(wishOf({ ...valuesOf(), password: ' with space ' }).password).toBe(' with space ')
  })

  it('takes hosts as they stand in image names, not URLs', () => {
    for (const host of ['docker.io', 'registry.corp:5000', 'localhost:5000', 'localhost', '10.0.0.5:5000', '[fd00::1]:5000', 'corp:5000']) expect(hostName.test(host), host).toBe(true)
    for (const host of ['', 'docker', 'https://docker.io', 'docker.io/library', 'a b.c', 'docker.io:', 'docker.io:port']) expect(hostName.test(host), host).toBe(false)
  })

  it('takes base URLs of the schemes that are meant', () => {
    expect(isBaseUrl('https://mirror.example.com/v2', ['http', 'https'])).toBe(true)
    expect(isBaseUrl('ftp://mirror', ['http', 'https'])).toBe(false)
    expect(isBaseUrl('mirror.example.com', ['http', 'https'])).toBe(false)
    expect(isBaseUrl('socks5://proxy:1080', ['http', 'https', 'socks5'])).toBe(true)
  })

  it('moves endpoints within the list only', () => {
    expect(moved(['a', 'b', 'c'], 1, -1)).toEqual(['b', 'a', 'c'])
    expect(moved(['a', 'b'], 1, 1)).toEqual(['a', 'b'])
    expect(moved(['a', 'b'], 0, -1)).toEqual(['a', 'b'])
  })
})
