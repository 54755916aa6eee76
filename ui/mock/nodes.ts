import { http, HttpResponse, type DefaultBodyType, type HttpHandler, type PathParams } from 'msw'
import type { JoinToken, JoinTokenInput, Node, NodeDrain, NodeSpec } from '@/api/model'
import { makeNode, quorumOf } from './cluster'
import type { Database } from './db'
import { guardedBy, refuse } from './handlers'

const root = '*/api/v1'

/** Answers about nodes, joining and the quorum; handlers.ts joins them to the others. */
export function nodeHandlers(db: Database): HttpHandler[] {
  const guarded = guardedBy(db)
  const json = <T extends DefaultBodyType>(body: T, status = 200) => HttpResponse.json(body, { status, headers: { 'Skerry-Index': String(db.index) } })
  const gone = () => new HttpResponse(null, { status: 204, headers: { 'Skerry-Index': String(db.index) } })
  const withNode = (act: (node: Node, request: Request, params: PathParams) => Promise<Response> | Response) =>
    guarded(({ request, params }) => {
      const ref = decodeURIComponent(String(params.ref))
      const node = db.findNode(ref)
      return node ? act(node, request, params) : refuse(404, 'node_not_found', `There is no node named ${ref}.`)
    })
  const changed = (node: Node) => {
    node.version = ++db.index
    node.updatedAt = new Date().toISOString()
    db.changed('node', node.id)
    return json(node)
  }
  /** How many containers each drain began with. */
  const totals = new Map<string, number>()
  const drainOf = (node: Node): NodeDrain => {
    const left = db.on(node)
    const waiting = left
      .filter((container) => container.spec.mounts?.some(({ type }) => type === 'volume'))
      .map((container) => ({ containerId: container.id, container: container.name, reason: `its volume ${container.spec.mounts?.[0]?.source ?? ''} lives on ${node.name}; stop the service, or move its data` }))
    return { done: left.length === waiting.length, left: left.length, total: Math.max(totals.get(node.id) ?? 0, left.length), waiting }
  }
  const moveOne = (node: Node) => {
    const [next] = db.on(node).filter((container) => !container.spec.mounts?.some(({ type }) => type === 'volume'))
    if (!next || node.spec.availability !== 'drain') return
    next.assign = db.place(next.slot)
    next.version = ++db.index
    db.changed('container', next.id)
    db.changed('node', node.id)
    db.later(() => moveOne(node), 2)
  }
  const join = (role: 'member' | 'worker', environmentId: string) => {
    const number = db.nodes.size + 1
    const node = makeNode(`nd-${String(number).padStart(2, '0')}`, `skerry-${number}`, `192.0.2.${20 + number}`, { role, environmentId, createdAt: new Date().toISOString(), spec: {}, health: undefined })
    const { status } = node
    node.status = { ...status, ready: false, skerryVersion: '', address: status.address }
    db.nodes.set(node.id, node)
    db.happened({ kind: 'node', objectId: node.id, object: node.name, reason: 'Joined', message: `node ${node.name} joined` })
    changed(node)
    db.later(() => {
      node.status = status
      changed(node)
    }, 4)
    return node
  }

  return [
    /** A host joins with the newest token. */
    http.post('*/mock/join', () => {
      const token = db.joinTokens.at(-1)
      if (token) {
        token.used++
        if (token.used >= token.uses) token.state = 'used'
      }
      return json({ name: join(token?.role ?? 'member', token?.environmentId ?? 'en-01').name })
    }),
    /** What the answers say of the cluster: seconds cut off, and whether somebody leads. */
    http.post('*/mock/reach/:stale/:leader', ({ params }) => {
      db.stale = Number(params.stale)
      db.leader = params.leader === 'leader'
      return gone()
    }),
    http.get(`${root}/nodes`, guarded(() => json({ items: [...db.nodes.values()] }))),
    http.get(`${root}/nodes/:ref`, withNode((node) => json(node))),
    http.get(`${root}/nodes/:ref/stats`, withNode((node) => (node.health?.state === 'down' ? refuse(503, 'node_away', `The node ${node.name} does not answer.`) : json(db.stats(node))))),
    http.put(`${root}/nodes/:ref`, withNode(async (node, request) => {
      const match = request.headers.get('If-Match')
      if (match && match !== `"${node.version}"`) return refuse(412, 'stale', `The node ${node.name} has changed since; look at it anew.`)
      node.spec = (await request.json()) as NodeSpec
      return changed(node)
    })),
    http.delete(`${root}/nodes/:ref`, withNode((node, request) => {
      const force = new URL(request.url).searchParams.get('force') === 'true'
      const here = db.on(node)
      if (!force && here.length > 0) return refuse(409, 'node_in_use', `${here.length} containers run on ${node.name}; drain it first, or force its removal.`)
      for (const container of here) container.assign = db.place(container.slot + 1)
      db.nodes.delete(node.id)
      db.changed('node', node.id, true)
      return gone()
    })),
    http.post(`${root}/nodes/:ref/drain`, withNode((node) => {
      totals.set(node.id, db.on(node).length)
      node.spec = { ...node.spec, availability: 'drain' }
      changed(node)
      db.later(() => moveOne(node), 2)
      return json(drainOf(node))
    })),
    http.get(`${root}/nodes/:ref/drain`, withNode((node) => json(drainOf(node)))),
    http.post(`${root}/nodes/:ref/activate`, withNode((node) => {
      node.spec = { ...node.spec, availability: 'active' }
      return changed(node)
    })),
    http.post(`${root}/nodes/:ref/promote`, withNode((node) => {
      if (node.role === 'worker') return refuse(409, 'not_a_member', `${node.name} is a worker; only members vote.`)
      node.spec = { ...node.spec, suffrage: 'voter' }
      return changed(node)
    })),
    http.post(`${root}/nodes/:ref/demote`, withNode((node) => {
      node.spec = { ...node.spec, suffrage: 'standby' }
      return changed(node)
    })),
    http.get(`${root}/cluster/quorum`, guarded(() => {
      const quorum = quorumOf(db.scene, [...db.nodes.values()])
      return json(db.leader && db.stale === 0 ? quorum : { ...quorum, leaderId: '', members: quorum.members.map((member) => ({ ...member, leader: false })) })
    })),
    http.get(`${root}/join-tokens`, guarded(() => json({ items: db.joinTokens }))),
    http.post(`${root}/join-tokens`, guarded(async ({ request }) => {
      const input = (await request.json()) as JoinTokenInput
      const ttl = input.ttlSeconds ?? 3600
      if (ttl > 604_800) return refuse(422, 'ttl_too_long', 'A join token lasts at most 7 days; choose less.', 'ttlSeconds')
      const expiresAt = new Date(Date.now() + ttl * 1000)
      const role = input.role ?? 'member'
      const token: JoinToken = { id: db.id('jt'), name: Math.random().toString(36).slice(2, 6), version: ++db.index, createdAt: new Date().toISOString(), role, environmentId: input.environment ?? 'en-01', uses: input.uses ?? 1, used: 0, expiresAt: expiresAt.toISOString(), state: 'usable', createdBy: 'admin' }
      db.joinTokens.push(token)
      const text = `SK1.${role.charAt(0)}.${Math.floor(expiresAt.getTime() / 1000).toString(36)}.default.9c1d2Qh0mUuF3l4vV5wq6Xx7Yy8Zz90aAbBcCdDeEfF.3K7QJ2M5XWYH4T6RBVNPLCD8FG`
      const members = [...db.nodes.values()].filter((node) => node.role !== 'worker').slice(0, 3)
      return json({ token, text, commands: members.map((node) => `skerry join ${text} ${node.status.address}${role === 'worker' ? ' --worker' : ''}`) }, 201)
    })),
    http.delete(`${root}/join-tokens/:ref`, guarded(({ params }) => {
      const token = db.joinTokens.find(({ id, name }) => id === params.ref || name === params.ref)
      if (!token) return refuse(404, 'token_not_found', 'There is no such join token.')
      token.state = 'revoked'
      db.index++
      return gone()
    })),
  ]
}
