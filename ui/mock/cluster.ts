import type { JoinToken, Node, NodeStats, Quorum, QuorumMember } from '@/api/model'

/** The scenes of the mock: who has been here (fresh, empty, busy on one node), and what several nodes can be in. */
export const scenes = ['fresh', 'empty', 'busy', 'cluster', 'pair', 'lost'] as const
export type Scene = (typeof scenes)[number]

const environmentId = 'en-01'
const minute = 60_000
const ago = (ms: number) => new Date(Date.now() - ms).toISOString()

/** A node as most are; each scene changes what it shows. */
export function makeNode(id: string, name: string, address: string, change: Partial<Node> = {}): Node {
  const at = ago(9_000_000)
  return {
    id,
    name,
    version: 3,
    createdAt: at,
    updatedAt: at,
    environmentId,
    role: 'member',
    blocks: [`10.42.${Number(id.replace(/\D/g, '')) - 1}.0/26`],
    health: { state: 'up', since: at },
    spec: { labels: { disk: 'ssd' } },
    status: { ready: true, address: `${address}:7443`, skerryVersion: '0.1.0', engineVersion: 'containerd v2.4.2', os: 'Debian GNU/Linux 12 (bookworm)', kernel: '6.18.5', architecture: 'amd64', cpus: 4, memoryBytes: 16_777_216_000, conditions: [] },
    ...change,
  }
}

/** The nodes of a scene; the first is the one that answers. */
export function nodesOf(scene: Scene): Node[] {
  const first = makeNode('nd-01', 'skerry-1', '192.0.2.10')
  if (scene === 'pair') return [first, makeNode('nd-02', 'skerry-2', '192.0.2.11')]
  if (scene === 'lost') {
    const down = (reason: string) => ({ health: { state: 'down' as const, since: ago(7 * minute), reason }, status: { ...first.status, ready: false } })
    return [first, makeNode('nd-02', 'skerry-2', '192.0.2.11', down('node skerry-2 has sent no heartbeat for 5 s')), makeNode('nd-03', 'skerry-3', '192.0.2.12', down('node skerry-3 has sent no heartbeat for 5 s'))]
  }
  if (scene !== 'cluster') return [first]
  const since = ago(12 * minute)
  return [
    { ...first, spec: { labels: { disk: 'ssd', zone: 'a' } } },
    makeNode('nd-02', 'skerry-2', '192.0.2.11', { spec: { labels: { disk: 'ssd', zone: 'b' } } }),
    makeNode('nd-03', 'skerry-3', '192.0.2.12', { spec: { labels: { disk: 'hdd', zone: 'c' }, suffrage: 'voter' } }),
    makeNode('nd-04', 'skerry-4', '192.0.2.13', { spec: { labels: { zone: 'a' }, availability: 'drain' } }),
    makeNode('nd-05', 'gpu-worker-with-a-rather-long-name-in-rack-17', '192.0.2.201', { role: 'worker', environmentId: 'en-02', spec: { labels: { gpu: 'a100', zone: 'b', 'example.com/purchase-order': '2026-0031-4711' } }, status: { ...first.status, address: '192.0.2.201:7443', cpus: 64, memoryBytes: 540_000_000_000, conditions: [{ type: 'Disk', reason: 'DiskNearlyFull', message: 'its disk is 93 % full; remove images or volumes that nobody needs', since }] } }),
    makeNode('nd-06', 'worker-6', '192.0.2.206', { role: 'worker', health: { state: 'down', since, reason: 'node worker-6 has sent no heartbeat for 5 s' }, status: { ...first.status, ready: false, address: '192.0.2.206:7443', conditions: [{ type: 'Ready', reason: 'NodeNotReady', message: 'it is not ready; its daemon may be starting or away', since }] } }),
  ]
}

/** What the members say of themselves; `drained` counts what has left the node that is being drained. */
export function quorumOf(scene: Scene, nodes: Node[]): Quorum {
  const members = nodes
    .filter(({ role }) => role !== 'worker')
    .map((node, i, all): QuorumMember => {
      const alive = node.health?.state !== 'down'
      const part = all.length === 2 ? (i === 0 ? 'voter' : 'standby') : i < (all.length >= 5 ? 5 : 3) && !(all.length === 4 && i === 3) ? 'voter' : 'standby'
      return {
        nodeId: node.id,
        name: node.name,
        address: node.status.address,
        part: all.length === 1 ? 'voter' : part,
        wish: node.spec.suffrage,
        leader: i === 0 && scene !== 'lost',
        alive,
        lag: !alive ? -1 : scene === 'pair' && i === 1 ? 4_213 : i === 3 ? 12 : 0,
        lastContactMillis: alive ? 40 + i : 7 * minute,
        version: node.status.skerryVersion,
        reason: part === 'standby' && all.length === 4 ? '3 voters are enough for this cluster' : undefined,
      }
    })
  const voters = members.filter(({ part }) => part === 'voter')
  const alive = voters.filter((each) => each.alive).length
  const canLose = alive - (Math.floor(voters.length / 2) + 1)
  return { generation: scene === 'pair' ? 2 : 1, term: 7, commitIndex: 48_211, appliedIndex: 48_211, leaderId: scene === 'lost' ? '' : (nodes[0]?.id ?? ''), voters: voters.length, canLose, degraded: scene === 'pair', summary: `${alive} of ${voters.length} voters are alive; you can lose ${Math.max(0, canLose)} more node`, members }
}

export function statsOf(node: Node, containersRunning: number): NodeStats {
  const seed = Number(node.id.replace(/\D/g, ''))
  const wave = Math.sin(Date.now() / 9_000 + seed)
  const { cpus, memoryBytes } = node.status
  return {
    time: new Date().toISOString(),
    cpus,
    cpuPercent: 34 + 11 * wave,
    load1: 1.31 + 0.2 * wave,
    load5: 1.12,
    load15: 0.98,
    memoryTotalBytes: memoryBytes,
    memoryUsedBytes: memoryBytes * (0.5 + 0.06 * seed) + 134_217_728 * wave,
    diskTotalBytes: 270_582_939_648,
    diskUsedBytes: 228_170_137_600,
    networkRxBytes: 83_751_862_272,
    networkTxBytes: 21_474_836_480,
    uptimeSeconds: 1_234_567,
    containersRunning,
  }
}

/** Tokens that a scene begins with. */
export function tokensOf(scene: Scene): JoinToken[] {
  if (scene !== 'cluster') return []
  return [
    { id: 'jt-01', name: 'k7f2', version: 4, createdAt: ago(20 * minute), role: 'worker', environmentId, uses: 5, used: 2, expiresAt: new Date(Date.now() + 40 * minute).toISOString(), state: 'usable', createdBy: 'admin' },
    { id: 'jt-02', name: 'm3q9', version: 5, createdAt: ago(900 * minute), role: 'member', environmentId, uses: 1, used: 1, expiresAt: ago(840 * minute), state: 'used', createdBy: 'admin' },
  ]
}
