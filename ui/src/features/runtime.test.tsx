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
import { containerFiles } from '@/api/files'
import { routes } from '@/app/routes'
import { setLanguage } from '@/shared/lib/preferences'

// The pages of what runs, over the mock, as pages.test.tsx has the others.
const db = new Database('busy', 15)
const server = setupServer(...handlers(db))
server.events.on('request:start', ({ request }) => request.headers.set('Cookie', 'skerry_session=test'))
beforeAll(() => server.listen({ onUnhandledRequest: 'error' }))
beforeEach(() => {
  db.reset('busy')
  db.sessions.add('test')
  setCsrf('mock-csrf')
  setLanguage('en')
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

describe('containers', () => {
  it('are listed with what matters; filter and sort are in the address', async () => {
    const { router, person } = open('/containers?status=running&sort=-name')
    await screen.findByRole('link', { name: 'shop-web-1' })
    expect(screen.queryByRole('link', { name: 'mailer-1' })).toBeNull()
    const names = screen.getAllByRole('row').slice(1).map((row) => within(row).getAllByRole('link')[0]?.textContent)
    expect(names).toEqual([...names].sort().reverse())
    await person.click(screen.getByRole('button', { name: /^Name/ }))
    await waitFor(() => expect(router.state.location.search).toBe('?status=running'))
    fireEvent.change(screen.getByLabelText('Name, image, id or address'), { target: { value: 'redis' } })
    await waitFor(() => expect(screen.getAllByRole('row')).toHaveLength(2))
    expect(router.state.location.search).toBe('?status=running&q=redis')
  })

  it('are removed together, with the consequence in numbers; what is refused stays and says why', async () => {
    const { person } = open('/containers')
    await person.click(await screen.findByLabelText('Choose hello-1'))
    await person.click(screen.getByLabelText('Choose shop-web-1'))
    await person.click(screen.getByLabelText('Choose shop-web-2'))
    await person.click(screen.getByRole('button', { name: 'Remove 3' }))
    const dialog = await screen.findByRole('dialog')
    within(dialog).getByText('3 of them run and are killed.')
    within(dialog).getByText('Their services make 2 new containers in their place.')
    within(dialog).getByText(/only container of the app hello/)
    const hello = [...db.containers.values()].find(({ name }) => name === 'hello-1')
    server.use(http.delete(`*/api/v1/containers/${hello?.id}`, () => HttpResponse.json({ type: 'about:blank', title: 'Denied', status: 403, code: 'permission_denied', detail: 'You may not remove hello-1.', requestId: 'rq-7' }, { status: 403 })))
    await person.click(within(dialog).getByRole('button', { name: 'Remove 3' }))
    const alert = await within(dialog).findByRole('alert')
    expect(alert.textContent).toContain('You may not remove hello-1.')
    expect(alert.textContent).toContain('permission_denied rq-7')
    await waitFor(() => expect([...db.containers.values()].some(({ name }) => name === 'shop-web-1')).toBe(false))
    within(dialog).getByRole('button', { name: 'Remove' })
  })
})

describe('container', () => {
  it('says first why it does not run', async () => {
    open('/containers/checkout-1')
    const region = await screen.findByRole('region', { name: 'Why it is not as asked' })
    within(region).getByText(/used more than its limit/)
    screen.getByText(/out of memory/)
    screen.getByRole('button', { name: 'Start' })
  })

  it('covers values until they are asked for', async () => {
    const container = [...db.containers.values()].find(({ name }) => name === 'hello-1')
    if (container) container.spec = { ...container.spec, env: [{ name: 'PASSWORD', value: '<b>secret</b>' }] }
    const { person } = open('/containers/hello-1?tab=environment')
    await screen.findByText('PASSWORD')
    expect(screen.queryByText('<b>secret</b>')).toBeNull()
    await person.click(screen.getByRole('button', { name: 'Show values' }))
    screen.getByText('<b>secret</b>')
  })

  it('shows itself as JSON, its values as text', async () => {
    const container = [...db.containers.values()].find(({ name }) => name === 'hello-1')
    if (container) container.spec = { ...container.spec, labels: { note: '<img src=x onerror=alert(1)>' } }
    open('/containers/hello-1?tab=inspect')
    const json = await screen.findByLabelText('As the API gives it')
    expect(JSON.parse(json.textContent ?? '')).toMatchObject({ name: 'hello-1', spec: { labels: { note: '<img src=x onerror=alert(1)>' } } })
    expect(json.querySelector('img')).toBeNull()
  })

  it('becomes an image; a refused name keeps what was typed', async () => {
    const { person } = open('/containers/shop-web-1')
    await person.click(await screen.findByRole('button', { name: 'More actions' }))
    await person.click(await screen.findByRole('menuitem', { name: 'Commit to image' }))
    const name = await screen.findByLabelText('Name of the new image')
    fireEvent.change(name, { target: { value: 'Not A Name' } })
    fireEvent.change(screen.getByLabelText('Message'), { target: { value: 'as it should be' } })
    screen.getByText(`skerry commit -m 'as it should be' --author admin shop-web-1 'Not A Name'`)
    await person.click(screen.getByRole('button', { name: 'Commit' }))
    await screen.findByText(/is no name of an image/)
    expect(name).toHaveProperty('value', 'Not A Name')
    fireEvent.change(name, { target: { value: 'shop:patched' } })
    await person.click(screen.getByRole('button', { name: 'Commit' }))
    await screen.findByText(/shop:patched was made/)
  })
})

describe('files', () => {
  it('show hostile names as what they are', async () => {
    open('/containers/shop-web-1?tab=files&path=/tmp')
    // By their text: reckoning the names of rows takes jsdom a minute.
    const row = (text: string | RegExp) => screen.getByText(text).closest('[role=row]')
    await screen.findByText('\\n')
    expect(row('\\n')?.querySelector('a[download]')?.getAttribute('href')).toContain('path=%2Ftmp%2Fnew%0Aline.txt')
    screen.getByText('U+202E')
    expect(document.querySelector('img[src="x"]')).toBeNull()
    expect(row(/^br.ken$/)?.querySelector('a[download]')?.getAttribute('href')).toContain(`rawPath=${encodeURIComponent(btoa('/tmp/br\xff\x6ben'))}`)
  })

  it('walk by crumbs, and a folder that is not there says so', async () => {
    const { router, person } = open('/containers/shop-web-1?tab=files')
    await person.click(await screen.findByRole('button', { name: 'etc' }))
    await screen.findByText('passwd')
    expect(router.state.location.search).toBe('?tab=files&path=%2Fetc')
    await person.click(screen.getByRole('button', { name: '/' }))
    await screen.findByRole('button', { name: 'usr' })
    await router.navigate('/containers/shop-web-1?tab=files&path=/nothing')
    const alert = await screen.findByRole('alert')
    expect(alert.textContent).toContain('there is no such file or folder')
    await person.click(screen.getByRole('button', { name: 'To the root' }))
    await screen.findByRole('button', { name: 'etc' })
  })

  it('count a folder before it goes', async () => {
    const { person } = open('/containers/shop-web-1?tab=files')
    await person.click(await screen.findByRole('button', { name: 'Remove etc' }))
    const dialog = await screen.findByRole('dialog')
    await within(dialog).findByText('Removes this folder with 6 files and 2 folders in it, 7.42 KiB in all. They cannot be brought back.')
    await person.click(within(dialog).getByRole('button', { name: 'Remove' }))
    await waitFor(() => expect(screen.queryByRole('button', { name: 'etc' })).toBeNull())
  })

  it('say how many entries are not shown', async () => {
    open('/containers/shop-web-1?tab=files&path=/usr/bin')
    await screen.findByText(/Only the first 1500 entries are shown/)
    // Only those in view exist.
    expect(screen.getAllByRole('row').length).toBeLessThan(80)
  })

  it('refuse a folder’s bad name before the server does', async () => {
    const { person } = open('/volumes/pgdata?tab=files')
    await screen.findByRole('button', { name: 'base' })
    await person.click(screen.getByRole('button', { name: 'New folder' }))
    const name = await screen.findByLabelText('Name')
    fireEvent.change(name, { target: { value: 'a/b' } })
    await screen.findByText('A name cannot hold a slash.')
    fireEvent.change(name, { target: { value: 'base' } })
    await screen.findByText('There is already something named base.')
    fireEvent.change(name, { target: { value: 'fresh' } })
    await person.click(screen.getByRole('button', { name: 'Create' }))
    await screen.findByRole('button', { name: 'fresh' })
  })

  it('are sent with progress, and a stopped upload ends', async () => {
    const store = containerFiles([...db.containers.keys()][0] ?? '')
    const file = new File(['x'.repeat(10_000)], 'x.txt')
    await store.upload({ path: '/tmp/x.txt' }, file, () => {}, new AbortController().signal)
    // jsdom does not hand the bytes on; the browser tests look at those.
    expect((await store.list({ path: '/tmp' })).items.map(({ name }) => name)).toContain('x.txt')
    const stop = new AbortController()
    const sending = store.upload({ path: '/tmp/y.txt' }, file, () => {}, stop.signal)
    stop.abort()
    await expect(sending).rejects.toMatchObject({ name: 'AbortError' })
  })
})

describe('volumes', () => {
  it('are made, with the command that does the same, and removed by their name', async () => {
    const { router, person } = open('/volumes?new')
    await screen.findByRole('link', { name: 'pgdata' })
    const name = await screen.findByLabelText('Name')
    fireEvent.change(name, { target: { value: 'pgdata' } })
    await screen.findByText('There is already a volume named pgdata.')
    fireEvent.change(name, { target: { value: 'media' } })
    await screen.findByText('skerry volume create media')
    await person.click(screen.getByRole('button', { name: 'Create' }))
    await waitFor(() => expect(router.state.location.pathname).toBe('/volumes/media'))
    await person.click(await screen.findByRole('button', { name: 'More actions' }))
    await person.click(await screen.findByRole('menuitem', { name: 'Remove volume' }))
    const dialog = await screen.findByRole('dialog')
    const button = within(dialog).getByRole('button', { name: 'Remove volume' })
    expect(button).toHaveProperty('disabled', true)
    fireEvent.change(within(dialog).getByRole('textbox'), { target: { value: 'media' } })
    await person.click(button)
    await waitFor(() => expect(router.state.location.pathname).toBe('/volumes'))
  })

  it('in use cannot be removed, and say who uses them', async () => {
    const { person } = open('/volumes/pgdata')
    await person.click(await screen.findByRole('button', { name: 'More actions' }))
    await person.click(await screen.findByRole('menuitem', { name: 'Remove volume' }))
    const dialog = await screen.findByRole('dialog')
    within(dialog).getByText(/cannot be removed while 1 object uses it/)
    expect(within(dialog).getByRole('button', { name: 'Remove volume' })).toHaveProperty('disabled', true)
  })
})

describe('node', () => {
  it('leads to its containers', async () => {
    open('/nodes/skerry-1?tab=containers')
    expect((await screen.findByRole('link', { name: 'shop-web-1' })).getAttribute('href')).toBe('/containers/shop-web-1')
  })
})

describe('log', () => {
  it('is searched and narrowed to what matches', async () => {
    const { person } = open('/containers/shop-web-1?tab=logs')
    const log = await screen.findByRole('log')
    await within(log).findAllByText(/GET/)
    fireEvent.change(screen.getByLabelText('Search the log'), { target: { value: 'slowly' } })
    await screen.findByText(/\d+ matches/)
    await person.click(screen.getByRole('checkbox', { name: 'Only matches' }))
    await waitFor(() => expect(within(log).queryByText(/GET/)).toBeNull())
    expect(log.querySelectorAll('mark').length).toBeGreaterThan(1)
  })
})
