import { describe, expect, it } from 'vitest'
import { deviceOf } from '@/shared/lib/device'
import { makePassword, rolesOf, rowsOf, tenantName, userName } from './rules'

describe('names', () => {
  it('of users and tenants follow the rules of the server', () => {
    for (const name of ['ann', 'a.b-c_d@example.com', '0day', 'a'.repeat(63)]) expect(userName.test(name), name).toBe(true)
    for (const name of ['', 'Ann', '.a', 'a b', 'a/b', 'ä', 'a'.repeat(64), '<b>']) expect(userName.test(name), name).toBe(false)
    for (const name of ['shop', 'a', 'data-platform', '9']) expect(tenantName.test(name), name).toBe(true)
    for (const name of ['-a', 'a-', 'A', 'a_b', 'a.b', '', 'a'.repeat(64)]) expect(tenantName.test(name), name).toBe(false)
  })
})

describe('a password made here', () => {
  it('has 20 characters that cannot be mistaken for one another, and is never the same', () => {
    const made = new Set(Array.from({ length: 200 }, makePassword))
    expect(made.size).toBe(200)
    for (const password of made) expect(password).toMatch(/^[A-HJ-NP-Za-km-z2-9]{20}$/)
  })
})

describe('rows of roles', () => {
  it('become the roles of the contract; unfinished rows are left out', () => {
    expect(rolesOf([{ tenant: 'tn-1', role: 'owner' }, { tenant: 'tn-2' }, { role: 'viewer' }, {}])).toEqual({ 'tn-1': 'owner' })
    expect(rowsOf({ 'tn-1': 'owner' })).toEqual([{ tenant: 'tn-1', role: 'owner' }])
    expect(rowsOf(undefined)).toEqual([])
  })
})

describe('a device', () => {
  it.each([
    ['Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36', 'Chrome', 'Linux'],
    ['Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0', 'Edge', 'Windows'],
    ['Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1', 'Safari', 'iOS'],
    ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0', 'Firefox', 'macOS'],
    ['curl/8.14.1', 'curl', ''],
    ['<script>alert(1)</script>', '', ''],
    [undefined, '', ''],
  ])('is named by its user agent: %s', (agent, program, system) => {
    expect(deviceOf(agent)).toEqual({ program, system })
  })
})
