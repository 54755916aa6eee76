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
import { routes } from '@/app/routes'
import { setLanguage } from '@/shared/lib/preferences'

// The pages within their frame, over the mock. A cookie cannot be set in jsdom's page for another origin's fetch, so the
// session's is put on each request here.
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
})
afterEach(() => server.resetHandlers())
afterAll(() => server.close())

function open(path: string) {
  const router = createMemoryRouter(routes, { initialEntries: [path] })
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } })
  render(
    <QueryClientProvider client={queries}>
      <AntApp>
        <RouterProvider router={router} />
      </AntApp>
    </QueryClientProvider>,
  )
  return { router, person: userEvent.setup({ delay: null }) }
}

describe('without a session', () => {
  it('leads to the sign-in page, back to where one wanted to go, and keeps the name after a refusal', async () => {
    cookie = ''
    const { router, person } = open('/apps/shop?tab=logs')
    await screen.findByRole('heading', { name: 'Sign in' })
    expect(router.state.location.search).toBe(`?next=${encodeURIComponent('/apps/shop?tab=logs')}`)
    await person.type(screen.getByLabelText('User name'), 'admin')
    await person.type(screen.getByLabelText('Password'), 'wrong{Enter}')
    const alert = await screen.findByRole('alert')
    expect(alert).toHaveProperty('textContent', expect.stringContaining('The name or the password is wrong.'))
    expect(alert.textContent).toMatch(/sign_in_refused rq-\d+/)
    expect(screen.getByLabelText('User name')).toHaveProperty('value', 'admin')
  })

  it('leads to the setup page when nobody was set up', async () => {
    db.reset('fresh')
    cookie = ''
    const { person } = open('/')
    await screen.findByRole('heading', { name: 'Welcome to Skerry' })
    await person.type(screen.getByLabelText('Password'), 'short')
    await person.type(screen.getByLabelText('Password again'), 'other')
    await person.click(screen.getByRole('button', { name: 'Create administrator' }))
    await screen.findByText('Enter the setup token.')
    await screen.findByText('The password needs at least 10 characters.')
    await screen.findByText('The two passwords differ.')
  })
})

describe('deploy form', () => {
  it('suggests a free name and the port of the image, and keeps what was typed when the server refuses', async () => {
    const { person } = open('/apps/new')
    const image = await screen.findByLabelText('Image')
    await person.type(image, 'library/redis:7.2')
    await waitFor(() => expect(screen.getByLabelText('Port in the container')).toHaveProperty('value', '6379'))
    expect(screen.getByLabelText('Name')).toHaveProperty('value', 'redis')
    await person.clear(image)
    await person.type(image, 'registry.example.com/none:1')
    await person.clear(screen.getByLabelText('Name'))
    await person.type(screen.getByLabelText('Name'), 'mine')
    await person.click(screen.getByRole('button', { name: 'Deploy' }))
    // Once above the form with code and request id, once at its field.
    await waitFor(() => expect(screen.getAllByText(/The image registry.example.com\/none:1 is not here/)).toHaveLength(2))
    expect(screen.getByLabelText('Name')).toHaveProperty('value', 'mine')
    expect(screen.getByLabelText('Image')).toHaveProperty('value', 'registry.example.com/none:1')
  })

  it('refuses a name that breaks the rule before it asks the server', async () => {
    const { person } = open('/apps/new')
    await person.type(await screen.findByLabelText('Name'), 'Not A Name')
    await screen.findByText(/Use lowercase letters/)
  })

  it('deploys and leads to the app', async () => {
    const { router, person } = open('/apps/new')
    await person.type(await screen.findByLabelText('Image'), 'library/welcome:latest')
    await person.click(screen.getByRole('button', { name: 'Deploy' }))
    await waitFor(() => expect(router.state.location.pathname).toBe('/apps/welcome'))
    await screen.findByRole('heading', { name: 'welcome' })
    await screen.findByText(/1 of 1 replicas/)
  })
})

describe('app', () => {
  it('stands with its conditions first and says what it is in words', async () => {
    open('/apps/checkout')
    const region = await screen.findByRole('region', { name: 'Why it is not as asked' })
    within(region).getByText(/used more than its limit/)
    within(region).getByText('OutOfMemory')
    expect(screen.getAllByText('degraded').length).toBeGreaterThan(0)
  })

  it('scales, and a stale form is refused with the server’s sentence', async () => {
    const { person } = open('/apps/hello')
    const replicas = await screen.findByLabelText('Replicas of hello')
    // As a change, because jsdom takes minutes for keys in a number field of a table. The browser tests press real keys.
    fireEvent.change(replicas, { target: { value: '3' } })
    server.use(http.patch('*/api/v1/services/:ref', () => HttpResponse.json({ type: 'about:blank', title: 'Stale', status: 412, code: 'stale', detail: 'The service has changed since.', requestId: 'rq-9' }, { status: 412 }), { once: true }))
    await person.click(screen.getByText('Scale to 3'))
    await screen.findByText('The service has changed since.')
    expect(screen.getByLabelText('Replicas of hello')).toHaveProperty('value', '3')
    await person.click(screen.getByText('Scale to 3'))
    await screen.findByText(/3 of 3 replicas/)
  })

  it('asks for the name only when data is lost', async () => {
    const { router, person } = open('/apps/orders-db')
    await person.click(await screen.findByRole('button', { name: 'More actions' }))
    await person.click(await screen.findByRole('menuitem', { name: 'Remove app' }))
    const dialog = await screen.findByRole('dialog')
    within(dialog).getByText(/1 service and 1 container/)
    within(dialog).getByText(/5432/)
    await within(dialog).findByText('Volumes stay: pgdata (1.2 GiB).')
    const button = within(dialog).getByRole('button', { name: 'Remove app' })
    expect(button).toHaveProperty('disabled', false)
    await person.click(within(dialog).getByRole('checkbox'))
    expect(button).toHaveProperty('disabled', true)
    await person.type(within(dialog).getByRole('textbox'), 'orders-db')
    await person.click(button)
    await waitFor(() => expect(router.state.location.pathname).toBe('/apps'))
    expect(db.volumes.size).toBe(0)
  })
})

describe('lists', () => {
  it('keep their filter in the address', async () => {
    const { router, person } = open('/apps')
    await person.type(await screen.findByLabelText('Filter by name or image'), 'shop/')
    await waitFor(() => expect(screen.queryByRole('link', { name: 'hello' })).toBeNull())
    screen.getByRole('link', { name: 'checkout' })
    expect(router.state.location.search).toBe('?q=shop%2F')
  })

  it('say the same in Chinese', async () => {
    setLanguage('zh')
    open('/apps')
    await screen.findByRole('heading', { name: '应用' })
    expect((await screen.findAllByText('运行中')).length).toBeGreaterThan(0)
    expect(document.documentElement.lang).toBe('zh-CN')
  })
})
