import { describe, expect, it } from 'vitest'
import { ailing, inOrder, quorumWord, type QuorumLike, type QuorumMemberLike } from './quorum'

const member = (name: string, change: Partial<QuorumMemberLike> = {}): QuorumMemberLike => ({ nodeId: name, name, part: 'voter', leader: false, alive: true, lag: 0, ...change })
const quorum = (members: QuorumMemberLike[], change: Partial<QuorumLike> = {}): QuorumLike => ({ generation: 1, leaderId: 'a', canLose: 0, degraded: false, members, ...change })

describe('quorumWord', () => {
  const three = ['a', 'b', 'c'].map((name) => member(name))
  const pair = [member('a'), member('b', { part: 'standby' })]
  it.each([
    ['margin', quorum(three, { canLose: 1 })],
    ['none', quorum(three, { canLose: 0 })],
    ['lost', quorum(three, { canLose: -1, leaderId: '' })],
    ['leaderless', quorum(three, { canLose: 1, leaderId: '' })],
    ['one', quorum([member('a')])],
    ['pair', quorum(pair)],
    ['degraded', quorum(pair, { degraded: true })],
    // A lost quorum is worse than being degraded, whatever else holds.
    ['lost', quorum(pair, { degraded: true, canLose: -1 })],
  ])('is %s', (word, given) => expect(quorumWord(given)).toBe(word))
})

describe('members', () => {
  it('stand leader first, then voters, standbys and the rest, by name in numbers', () => {
    const given = [member('n10'), member('n9'), member('s', { part: 'standby' }), member('new', { part: 'none' }), member('z', { leader: true })]
    expect(inOrder(given).map(({ name }) => name)).toEqual(['z', 'n9', 'n10', 's', 'new'])
  })

  it('need to be looked at when they are silent, far behind or not in the quorum', () => {
    expect([member('a'), member('a', { lag: 12 }), member('a', { reason: '3 voters are enough' })].some(ailing)).toBe(false)
    expect([member('a', { alive: false, lag: -1 }), member('a', { lag: 4_000 }), member('a', { part: 'none' })].every(ailing)).toBe(true)
  })
})
