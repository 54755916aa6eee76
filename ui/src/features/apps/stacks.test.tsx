import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { fireEvent, render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { App as AntApp } from 'antd'
import { setupServer } from 'msw/node'
import { createMemoryRouter, matchRoutes, RouterProvider } from 'react-router'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Database } from '@mock/db'
import { handlers } from '@mock/handlers'
import { setCsrf } from '@/api/client'
import { objectPath, remedyFor } from '@/api/links'
import type { AppPlan } from '@/api/model'
import { groups } from '@/app/Navigation'
import { routes } from '@/app/routes'
import { setLanguage } from '@/shared/lib/preferences'
import { countPlan } from './plan'
import { shown } from './PlanView'

const db = new Database('busy', 15)
const server = setupServer(...handlers(db))
let cookie = ''
server.events.on('request:start', ({ request }) => {
  if (cookie) request.headers.set('Cookie', `skerry_session=${cookie}`)
})
beforeAll(() => server.listen({ onUnhandledRequest: 'error' }))
beforeEach(() => {
  db.reset('busy')
  cookie = 'test'
  db.sessions.add(cookie)
  setCsrf('mock-csrf')
  setLanguage('en')
  localStorage.clear()
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

describe('no link leads nowhere', () => {
  const leads = (path: string) => matchRoutes(routes, path)?.at(-1)?.route.path
  it.each(groups.flatMap(({ places }) => places.map(({ to }) => to)))('%s of the navigation', (to) => expect(leads(to)).not.toBe('*'))
  it.each(['app', 'service', 'container', 'image', 'repository', 'volume', 'node', 'user'])('the page of a %s', (kind) => {
    const path = objectPath({ kind, id: 'x-1', name: 'x' })
    expect(path).toBeDefined()
    expect(leads((path ?? '').split('?')[0] ?? '')).not.toBe('*')
  })
  it('what helps against a problem', () => {
    for (const reason of ['OutOfMemory', 'CommandNotFound', 'Exited', 'DiskNearlyFull']) {
      const remedy = remedyFor(reason, { kind: 'app', id: 'ap-1' })
      expect(leads((remedy?.to ?? '/nowhere/at/all').split('?')[0] ?? '')).not.toBe('*')
    }
    expect(remedyFor('OutOfMemory', { kind: 'container', id: 'ct-1' })).toBeUndefined()
    expect(objectPath({ kind: 'moon', id: 'x' })).toBeUndefined()
  })
})

describe('a plan', () => {
  it('counts what is made, made anew, removed and kept', () => {
    const service = (action: AppPlan['action'], containersBefore: number, containersAfter: number, containersReplaced = 0) => ({ name: action, action, containersBefore, containersAfter, containersReplaced })
    const plan: AppPlan = { name: 'x', action: 'update', services: [service('create', 0, 2), service('replace', 3, 5, 3), service('replace', 3, 1, 3), service('update', 1, 1), service('remove', 4, 0)] }
    expect(countPlan(plan)).toEqual({ created: 4, replaced: 4, removed: 6, kept: 1 })
  })
  it('tells values with their unit', () => {
    expect(shown('container.memoryBytes', '134217728')).toBe('128 MiB')
    expect(shown('container.cpuMillis', '500')).toBe('0.5')
    expect(shown('container.env.X', 'y'.repeat(100))).toHaveLength(80)
  })
})

describe('pages of stacks', () => {
  it('say before a rollback what it will do, and do it', async () => {
    const { person } = open('/apps/shop?tab=revisions')
    await person.click(await screen.findByRole('button', { name: 'Go back to 1' }))
    const dialog = await screen.findByRole('dialog')
    await within(dialog).findByText(/is removed with its 1 container/)
    within(dialog).getByText(/makes 3 containers anew/)
    within(dialog).getByText('skerry app rollback --to 1 shop')
    await person.click(within(dialog).getByRole('button', { name: 'Go back' }))
    await waitFor(() => expect(db.find('shop')?.revision).toBe(4))
    expect(Object.keys(db.find('shop')?.spec.services ?? {})).toEqual(['web'])
  })

  it('let the palette find objects, pages and actions by keyboard', async () => {
    const { router, person } = open('/')
    await screen.findByRole('heading', { name: 'Dashboard' })
    await person.keyboard('{Control>}k{/Control}')
    const field = await screen.findByRole('combobox')
    await person.type(field, 'orders')
    await waitFor(() => expect(screen.getAllByRole('option')[0]?.textContent).toMatch(/^orders-db/))
    await person.keyboard('{Enter}')
    await waitFor(() => expect(router.state.location.pathname).toMatch(/^\/apps\//))
    await screen.findByRole('heading', { name: 'orders-db' })
  })

  it('stay under the dialog when the session ends, and go on after it', async () => {
    // Changes instead of keys: jsdom takes long for keys over Ant Design's sheets. The browser tests press real keys.
    open('/apps/new')
    fireEvent.change(await screen.findByLabelText('Image'), { target: { value: 'library/redis:7.2' } })
    db.sessions.clear()
    // The next question that the page asks is refused: what the plan is by now.
    fireEvent.change(screen.getByLabelText('Name'), { target: { value: 'kept' } })
    await screen.findByText('Your session has ended')
    const enter = (password: string) => {
      fireEvent.change(screen.getByLabelText('Password'), { target: { value: password } })
      fireEvent.click(screen.getByText('Sign in'))
    }
    enter('wrong')
    await screen.findByText('The name or the password is wrong.')
    cookie = 'again'
    db.sessions.add(cookie)
    enter('correct-horse')
    await waitFor(() => expect(screen.queryByText('Your session has ended')).toBeNull())
    expect(screen.getByLabelText('Name')).toHaveProperty('value', 'kept')
    expect(screen.getByLabelText('Image')).toHaveProperty('value', 'library/redis:7.2')
  })

  it('link no event to what is gone', async () => {
    const shop = db.find('shop')
    if (!shop) throw new Error('the scene has no shop')
    db.happened({ kind: 'app', objectId: 'ap-gone', object: 'old-shop', appId: 'ap-gone', reason: 'Removed', message: 'app old-shop is gone; its ports are free again' })
    open('/events')
    await screen.findByRole('link', { name: 'shop' })
    await screen.findByText('old-shop')
    expect(screen.queryByRole('link', { name: 'old-shop' })).toBeNull()
  })

  it('show audit entries without a name or an operation, and no button without a text', async () => {
    open('/audit')
    await screen.findByText('not signed in')
    expect(screen.getByText('AuditOnly')).toBeDefined()
    expect(within(screen.getByRole('table')).getAllByRole('button').filter((button) => !(button.textContent || button.getAttribute('aria-label')))).toEqual([])
  })

  it('say known sentences in Chinese with the original at hand', async () => {
    setLanguage('zh')
    db.happened({ kind: 'app', objectId: 'ap-gone', object: 'old-shop', appId: 'ap-gone', reason: 'Removed', message: 'app old-shop is gone; its ports are free again' })
    open('/events')
    const said = await screen.findByTitle('app old-shop is gone; its ports are free again')
    expect(said.textContent).toBe('应用 old-shop 已删除，端口已释放')
  })
})
