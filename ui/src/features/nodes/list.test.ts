import { describe, expect, it } from 'vitest'
import { nodesOf, quorumOf } from '@mock/cluster'
import { nodeHealth, nodeReason, nodeWord } from '@/api/status'
import { labelKeyPattern, partOf, select, type NodeFilter } from './list'

const nodes = nodesOf('cluster')
const { members } = quorumOf('cluster', nodes)
const all: NodeFilter = { q: '', role: '', health: '', availability: '', environment: '' }
const names = (filter: Partial<NodeFilter>) => select(nodes, { ...all, ...filter }, members).map(({ id }) => id)

describe('nodes', () => {
  it.each([
    [{}, ['nd-01', 'nd-02', 'nd-03', 'nd-04', 'nd-05', 'nd-06']],
    [{ role: 'worker' }, ['nd-05', 'nd-06']],
    [{ role: 'member' }, ['nd-01', 'nd-02', 'nd-03', 'nd-04']],
    [{ role: 'voter' }, ['nd-01', 'nd-02', 'nd-03']],
    [{ role: 'standby' }, ['nd-04']],
    [{ health: 'down' }, ['nd-06']],
    [{ availability: 'drain' }, ['nd-04']],
    [{ environment: 'en-02' }, ['nd-05']],
    [{ q: 'zone=b' }, ['nd-02', 'nd-05']],
    [{ q: '192.0.2.12' }, ['nd-03']],
    [{ q: 'GPU' }, ['nd-05']],
    [{ q: 'zone=b', role: 'member' }, ['nd-02']],
    [{ q: 'nothing' }, []],
  ])('that fit %j', (filter, expected) => expect(names(filter)).toEqual(expected))

  it('say what they are to the control plane; without the quorum a member is just that', () => {
    expect(nodes.map((node) => partOf(node, members))).toEqual(['leader', 'voter', 'voter', 'standby', 'worker', 'worker'])
    expect(nodes.map((node) => partOf(node, undefined))).toEqual(['member', 'member', 'member', 'member', 'worker', 'worker'])
  })

  it('have one word each, and the leader’s word stands above their own', () => {
    expect(nodes.map(nodeWord)).toEqual(['running', 'running', 'running', 'draining', 'degraded', 'failed'])
    const [up] = nodes
    if (!up) throw new Error('the scene has no node')
    const joining = { ...up, status: { ...up.status, ready: false, skerryVersion: '' } }
    expect([nodeHealth(joining), nodeWord(joining)]).toEqual(['joining', 'starting'])
    expect(nodeHealth({ ...up, status: { ...up.status, ready: false } })).toBe('notReady')
    expect(nodeHealth({ ...up, health: { state: 'down' } })).toBe('down')
    expect(nodeReason({ ...up, health: { state: 'down', reason: 'no heartbeat' } })).toBe('no heartbeat')
  })
})

describe('labels', () => {
  it.each(['zone', 'a', 'example.com/rack', 'x_1-y.z', 'a'.repeat(63)])('take %s', (key) => expect(key).toMatch(labelKeyPattern))
  it.each(['', '-a', 'a-', 'a b', 'a=b', 'ä', 'a'.repeat(64)])('refuse %j', (key) => expect(key).not.toMatch(labelKeyPattern))
})
