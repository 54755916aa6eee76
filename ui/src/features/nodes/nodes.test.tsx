import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { fireEvent, render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { App as AntApp } from 'antd'
import { http, HttpResponse } from 'msw'
import { setupServer } from 'msw/node'
import { createMemoryRouter, RouterProvider } from 'react-router'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Database } from '@mock/db'
import { handlers } from '@mock/handlers'
import { setCsrf } from '@/api/client'
import { forgetReach } from '@/api/reach'
import { routes } from '@/app/routes'
import { setLanguage } from '@/shared/lib/preferences'

// The pages of nodes, over the mock, as pages.test.tsx has the others.
const db = new Database('cluster', 15)
const server = setupServer(...handlers(db))
server.events.on('request:start', ({ request }) => request.headers.set('Cookie', 'skerry_session=test'))
beforeAll(() => server.listen({ onUnhandledRequest: 'error' }))
beforeEach(() => {
  db.reset('cluster')
  db.sessions.add('test')
  setCsrf('mock-csrf')
  setLanguage('en')
  forgetReach()
})
afterEach(() => server.resetHandlers())
afterAll(() => server.close())

function open(path: string) {
  const router = createMemoryRouter(routes, { initialEntries: [path] })
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <AntApp>
        <RouterProvider router={router} />
      </AntApp>
    </QueryClientProvider>,
  )
  return { router, person: userEvent.setup({ delay: null }) }
}

const post = (path: string) => fetch(`http://localhost:3000/mock/${path}`, { method: 'POST' })
/** By their text: reckoning the names of links takes jsdom long. */
const row = (name: string) => screen.queryAllByText(name, { selector: 'a' }).map((link) => link.closest('tr')).find(Boolean)

describe('the list', () => {
  it('says of each node role, health and load, and of all how many may be lost', async () => {
    open('/nodes')
    // The first page loads the modules of all that follow.
    await screen.findByText('You can lose 1 more node', {}, { timeout: 40_000 })
    screen.getByText('Leader: skerry-1')
    screen.getByText('3 of 3 voters alive')
    expect((await screen.findAllByText('12 entries behind')).length).toBe(1)
    // The columns that a narrow screen keeps; jsdom is one. The browser tests see the others.
    await waitFor(() => expect(row('skerry-1')?.textContent).toMatch(/up.*member.*leader/))
    expect(row('worker-6')?.textContent).toMatch(/down 12 minutes ago.*has sent no heartbeat for 5 s.*worker/)
    expect(row('skerry-4')?.textContent).toMatch(/draining.*up.*member.*standby/)
  })

  it('is narrowed by the address', async () => {
    open('/nodes?role=worker&q=zone=b')
    await screen.findByText(/^gpu-worker/)
    expect(row('skerry-1')).toBeUndefined()
    expect(row('worker-6')).toBeUndefined()
  })

  it('revokes a join token', async () => {
    const { person } = open('/nodes')
    await person.click(await screen.findByRole('button', { name: 'Revoke k7f2' }))
    await person.click(await screen.findByRole('button', { name: 'Revoke' }))
    await waitFor(() => expect(db.joinTokens[0]?.state).toBe('revoked'))
    await screen.findByText('revoked')
  })
})

describe('adding a node', () => {
  it('shows the line to paste and sees the node arrive', async () => {
    const { person } = open('/nodes?do=add')
    const dialog = await screen.findByRole('dialog')
    await person.click(within(dialog).getByRole('radio', { name: 'worker' }))
    await person.click(within(dialog).getByRole('button', { name: 'Make the line to paste' }))
    await screen.findByText(/^skerry join SK1\.w\.\S+ 192\.0\.2\.10:7443 --worker$/)
    screen.getByText(/^Works for another (1 h|59 min)/)
    screen.getByText('Waiting for the node. It shows here as soon as it joins.')
    await post('join')
    const arrivals = screen.getByRole('status', { name: 'Nodes that have joined' })
    await within(arrivals).findByRole('link', { name: 'skerry-7' })
    await within(arrivals).findByText('up')
    await screen.findByText('1 of 1 use')
  })

  it('keeps the form when the server refuses', async () => {
    server.use(http.post('*/api/v1/join-tokens', () => HttpResponse.json({ type: 'about:blank', title: 'x', status: 422, code: 'ttl_too_long', detail: 'A join token lasts at most 7 days; choose less.', requestId: 'rq-7' }, { status: 422 })))
    const { person } = open('/nodes?do=add')
    const dialog = await screen.findByRole('dialog')
    await person.click(within(dialog).getByRole('button', { name: 'Make the line to paste' }))
    await within(dialog).findByText('A join token lasts at most 7 days; choose less.')
    within(dialog).getByRole('button', { name: 'Make the line to paste' })
  })
})

describe('a node', () => {
  it('is drained with its progress and what waits, and activated again', async () => {
    const { person } = open('/nodes/skerry-1')
    await person.click(await screen.findByRole('button', { name: 'Drain' }))
    const dialog = await screen.findByRole('dialog')
    await within(dialog).findByText(/containers run here and move to other nodes|container runs here and moves/)
    await person.click(within(dialog).getByRole('button', { name: 'Drain' }))
    await screen.findByText('skerry-1 is empty: it can be switched off or removed.')
    await person.click(screen.getByRole('button', { name: 'Activate' }))
    await screen.findByRole('button', { name: 'Drain' })
  })

  it('says which container stays and why', async () => {
    open('/nodes/skerry-4')
    const waiting = await screen.findByRole('list', { name: 'What waits' })
    within(waiting).getByRole('link', { name: 'orders-db-postgres-1' })
    within(waiting).getByText(/its volume pgdata lives on skerry-4/)
  })

  it('that is down says so above everything else', async () => {
    open('/nodes/worker-6')
    const region = await screen.findByRole('region', { name: 'Why it is not as asked' })
    within(region).getByText('node worker-6 has sent no heartbeat for 5 s')
    // What it last said of itself is not repeated.
    expect(within(region).queryByText(/its daemon may be starting/)).toBeNull()
  })

  it('gets labels, refuses bad names, and a stale form is refused', async () => {
    const { person } = open('/nodes/skerry-2')
    await person.click(await screen.findByRole('button', { name: 'Edit' }))
    const dialog = await screen.findByRole('dialog')
    await person.click(within(dialog).getByRole('button', { name: 'Add label' }))
    const keys = within(dialog).getAllByLabelText('Label')
    fireEvent.change(keys.at(-1) as HTMLElement, { target: { value: 'no spaces' } })
    await within(dialog).findByText(/Use letters, digits/)
    fireEvent.change(keys.at(-1) as HTMLElement, { target: { value: 'rack' } })
    fireEvent.change(within(dialog).getAllByLabelText('Value').at(-1) as HTMLElement, { target: { value: '17' } })
    const node = db.findNode('skerry-2')
    if (!node) throw new Error('the scene has no skerry-2')
    node.version++
    await person.click(within(dialog).getByRole('button', { name: 'Save' }))
    await within(dialog).findByText(/has changed since/)
    expect(keys.at(-1)).toHaveProperty('value', 'rack')
    await person.click(within(dialog).getByRole('button', { name: 'Cancel' }))
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull())
    await person.click(screen.getByRole('button', { name: 'Edit' }))
    const again = await screen.findByRole('dialog')
    await person.click(within(again).getByRole('button', { name: 'Add label' }))
    fireEvent.change(within(again).getAllByLabelText('Label').at(-1) as HTMLElement, { target: { value: 'rack' } })
    fireEvent.change(within(again).getAllByLabelText('Value').at(-1) as HTMLElement, { target: { value: '17' } })
    await person.click(within(again).getByRole('button', { name: 'Save' }))
    await screen.findByText('rack=17')
    expect(db.findNode('skerry-2')?.spec.labels).toEqual({ disk: 'ssd', zone: 'b', rack: '17' })
  })

  it('is removed by force only with its name, and the consequence in numbers', async () => {
    const { router, person } = open('/nodes/skerry-4')
    await person.click(await screen.findByRole('button', { name: 'More actions' }))
    await person.click(await screen.findByRole('menuitem', { name: 'Remove node' }))
    const dialog = await screen.findByRole('dialog')
    const submit = within(dialog).getByRole('button', { name: 'Remove node' })
    await within(dialog).findByText(/It still holds 2 containers and 0 volumes/)
    expect(submit).toHaveProperty('disabled', true)
    await person.click(within(dialog).getByRole('checkbox'))
    within(dialog).getByText(/2 containers are given up/)
    expect(submit).toHaveProperty('disabled', true)
    fireEvent.change(within(dialog).getByRole('textbox'), { target: { value: 'skerry-4' } })
    await person.click(submit)
    await waitFor(() => expect(router.state.location.pathname).toBe('/nodes'))
    expect(db.findNode('skerry-4')).toBeUndefined()
  })

  it('changes its vote after saying what that means', async () => {
    const { person } = open('/nodes/skerry-2')
    await person.click(await screen.findByRole('button', { name: 'More actions' }))
    await person.click(await screen.findByRole('menuitem', { name: 'Make it a standby' }))
    const dialog = await screen.findByRole('dialog')
    within(dialog).getByText(/votes no more/)
    await person.click(within(dialog).getByRole('button', { name: 'Make it a standby' }))
    await waitFor(() => expect(db.findNode('skerry-2')?.spec.suffrage).toBe('standby'))
  })
})

describe('the quorum', () => {
  it('of one member says so', async () => {
    db.reset('busy')
    open('/nodes')
    await screen.findByText('This cluster has one member')
    screen.getByText('1 of 1 voter alive')
  })

  it('of two says when writes are on one disk only, and that it was recovered once', async () => {
    db.reset('pair')
    open('/nodes')
    await screen.findByText('Writes are on one disk only: the standby is behind')
    screen.getByText('recovered: generation 2')
    screen.getByText('4213 entries behind')
  })

  it('that is lost says what to do, in Chinese too', async () => {
    db.reset('lost')
    setLanguage('zh')
    open('/')
    await screen.findByText('法定人数已丢失：需要 2 台投票主机，仅 1 台在线')
    screen.getByText('skerry recover --dry-run')
    await screen.findByText(/法定人数已丢失。一切仍可查看/)
  })
})

describe('without a leader or cut off', () => {
  it('one sentence says that changes are refused, and goes when there is a leader again', async () => {
    const { person } = open('/nodes/skerry-2')
    await person.click(await screen.findByRole('button', { name: 'Drain' }))
    await post('reach/0/none')
    const dialog = await screen.findByRole('dialog')
    await person.click(within(dialog).getByRole('button', { name: 'Drain' }))
    // What was asked for is refused where it was asked; what is only read stays as it was.
    await within(dialog).findByText(/No leader can take this change/)
    await screen.findByText(/^The cluster has no leader at the moment/)
    screen.getByText('zone=b')
    await post('reach/0/leader')
    await waitFor(() => expect(screen.queryByText(/^The cluster has no leader at the moment/)).toBeNull())
  })

  it('a node that is cut off keeps what it shows, asks little, and offers the others', async () => {
    await post('scene/cluster')
    open('/nodes')
    await screen.findByRole('link', { name: 'worker-6' })
    await post('reach/83/leader')
    const asked: string[] = []
    const note = ({ request }: { request: Request }) => void asked.push(new URL(request.url).pathname.replace('/api/v1', ''))
    server.events.on('request:start', note)
    await screen.findByText(/^This node has been cut off from the cluster for 1 min 23 s\./, {}, { timeout: 8_000 })
    const other = await screen.findByRole('link', { name: 'skerry-2', description: '192.0.2.11:7443' })
    expect(other.getAttribute('href')).toBe('https://192.0.2.11:7443/nodes')
    screen.getByRole('link', { name: 'worker-6' })
    expect(screen.queryByRole('alert')).toBeNull()
    asked.length = 0
    await new Promise((resolve) => setTimeout(resolve, 6_000))
    expect(new Set(asked)).toEqual(new Set(['/session', '/cluster/quorum']))
    await post('reach/0/leader')
    await waitFor(() => expect(screen.queryByText(/^This node has been cut off/)).toBeNull(), { timeout: 8_000 })
    await waitFor(() => expect(asked).toContain('/nodes'))
    server.events.removeListener('request:start', note)
  }, 40_000)

  it('a console opened at a node that is cut off says so, and opens when that is over', async () => {
    await post('scene/cluster')
    await post('reach/83/leader')
    open('/apps')
    await screen.findByText(/so it cannot tell whether your sign-in still holds/)
    const other = await screen.findByRole('link', { name: 'skerry-3' })
    expect(other.getAttribute('href')).toBe('https://192.0.2.12:7443/apps')
    await post('reach/0/leader')
    await screen.findByRole('link', { name: 'shop' }, { timeout: 10_000 })
  }, 30_000)

  it('a refused read is a quiet line, not an alarm for each list', async () => {
    server.use(http.get('*/api/v1/apps', () => HttpResponse.json({ type: 'about:blank', title: 'x', status: 503, code: 'no_leader', detail: 'the cluster has no leader', requestId: 'rq-8' }, { status: 503 })))
    await post('reach/0/none')
    open('/apps')
    await screen.findByText('This is shown as soon as the cluster answers again.')
    expect(screen.queryByRole('alert')).toBeNull()
  })
})

describe('placement', () => {
  it('stands on the service, and a replica without a node says what it waits for', async () => {
    open('/services/shop.web')
    await screen.findByText('node.labels.disk==ssd')
    screen.getByText('0.25 cores · 128 MiB')
    screen.getByText('itself: one replica a node')
  })

  it('that is not found is a condition of the app', async () => {
    open('/apps/checkout')
    const region = await screen.findByRole('region', { name: 'Why it is not as asked' })
    await within(region).findByText(/^no node fits: skerry-1, skerry-2, skerry-3 lack/)
    within(region).getByText('WaitingForNode')
  })
})
