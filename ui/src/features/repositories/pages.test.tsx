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

// The pages about images, repositories, upstreams, people and settings within their frame, over the mock.
const db = new Database('busy', 15)
const server = setupServer(...handlers(db))
const cookie = 'test'
server.events.on('request:start', ({ request }) => request.headers.set('Cookie', `skerry_session=${cookie}`))
beforeAll(() => server.listen({ onUnhandledRequest: 'error' }))
beforeEach(() => {
  db.reset('busy')
  db.sessions.add(cookie)
  setCsrf('mock-csrf')
  setLanguage('en')
  document.title = ''
})
afterEach(() => server.resetHandlers())
afterAll(() => server.close())

function open(path: string) {
  const router = createMemoryRouter(routes, { initialEntries: [path] })
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } })
  const shown = render(
    <QueryClientProvider client={queries}>
      <AntApp>
        <RouterProvider router={router} />
      </AntApp>
    </QueryClientProvider>,
  )
  return { router, person: userEvent.setup({ delay: null }), container: shown.container }
}

const type = (field: HTMLElement, value: string) => fireEvent.change(field, { target: { value } })
const hostile = /<img src=x onerror=/

describe('hostile text', () => {
  it('in labels of an image is text', async () => {
    const image = [...db.images.values()].find(({ name }) => name.includes('nginx'))
    const { container } = open(`/images/${image?.id}`)
    await screen.findByRole('heading', { name: 'library/nginx:1.27' })
    expect((await screen.findByText(hostile)).tagName).toBe('DD')
    expect(container.querySelector('img')).toBeNull()
    expect(document.title).not.toContain('pwned')
  })

  it('in a description of a repository is text, in the list and on its page', async () => {
    const list = open('/repositories')
    await screen.findByText(hostile)
    expect(list.container.querySelector('img')).toBeNull()
    fireEvent.click(screen.getByRole('link', { name: 'default/web' }))
    await screen.findByRole('heading', { name: 'default/web' })
    await screen.findByText(hostile)
    expect(list.container.querySelector('img')).toBeNull()
  })
})

describe('images', () => {
  it('say who keeps one, and what removing another frees', async () => {
    const { person } = open('/images')
    await person.click(await screen.findByRole('button', { name: 'Remove library/nginx:1.27' }))
    const kept = await screen.findByRole('dialog')
    await within(kept).findByRole('link', { name: 'shop / web' })
    expect(within(kept).getByRole('button', { name: 'Remove' })).toHaveProperty('disabled', true)
    await person.click(within(kept).getByRole('button', { name: 'Cancel' }))
  })

  it('open the dialogs that the address names', async () => {
    open('/images?do=pull')
    await screen.findByText('Pull an image')
  })

  it('keep the pull form when the upstream refuses, with its sentence', async () => {
    const { person } = open('/images?do=pull')
    const name = await screen.findByLabelText('Image')
    type(name, 'registry.example.com/missing:1')
    await person.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'Pull' }))
    const alert = await within(screen.getByRole('dialog')).findByRole('alert')
    expect(alert.textContent).toContain('The image registry.example.com/missing:1 does not exist in its registry; check the name and the tag.')
    expect(alert.textContent).toContain('image_not_found rq-pull')
    expect(name).toHaveProperty('value', 'registry.example.com/missing:1')
  })
})

describe('repositories', () => {
  it('mark those of others and of upstreams, and keep the filter in the address', async () => {
    const { router } = open('/repositories?of=others')
    await screen.findByRole('link', { name: 'library/nginx' })
    screen.getByText('of library')
    expect(screen.queryByRole('link', { name: 'default/web' })).toBeNull()
    type(screen.getByLabelText('Filter by name'), 'nothing')
    await screen.findByText('No repository fits the filter.')
    expect(router.state.location.search).toBe('?of=others&q=nothing')
  })

  it('check the name while typing, show the server’s refusal and keep what was typed', async () => {
    const { router, person } = open('/repositories?do=create')
    const name = await screen.findByLabelText('Name')
    type(name, 'Not OK')
    await screen.findByText(/Use lowercase letters and digits, joined by/)
    type(name, 'web')
    await person.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'Create repository' }))
    expect((await within(screen.getByRole('dialog')).findByRole('alert')).textContent).toMatch(/there is a repository default\/web already.*already_exists rq-/s)
    expect(name).toHaveProperty('value', 'web')
    type(name, 'team/new')
    await person.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'Create repository' }))
    await waitFor(() => expect(router.state.location.pathname + router.state.location.search).toBe('/repositories/default%2Fteam%2Fnew?tab=push'))
  })

  it('print the commands for each client with the host chosen, and the trust lines as the API gives them', async () => {
    const { person } = open('/repositories/default%2Fweb?tab=push')
    await screen.findByText(/docker push skerry-1.example.com:7443\/default\/web:1.0/)
    screen.getByText(/install -D -m 644 \/tmp\/skerry-ca.crt \/etc\/docker\/certs.d\/skerry-1.example.com:7443\/ca.crt/)
    await person.click(screen.getByText('crane'))
    await screen.findByText('crane push web.tar skerry-1.example.com:7443/default/web:1.0')
    // What has no trust lines of its own trusts through the system.
    screen.getByText(/update-ca-certificates/)
    await person.click(screen.getByText('docker', { selector: '.ant-segmented-item-label' }))
  })

  it('make a token beside the login line, and show it once', async () => {
    const { person } = open('/repositories/default%2Fweb?tab=push')
    await person.click(await screen.findByRole('button', { name: 'Create token' }))
    const dialog = await screen.findByRole('dialog')
    expect(within(dialog).getByLabelText('Name')).toHaveProperty('value', 'docker-web')
    await person.click(within(dialog).getByRole('button', { name: 'Create' }))
    await screen.findByText('sk_mock_9f2c7d1e5b')
    screen.getByText('echo sk_mock_9f2c7d1e5b | docker login -u admin --password-stdin skerry-1.example.com:7443')
    await person.click(screen.getByRole('button', { name: 'I have copied it' }))
    await waitFor(() => expect(screen.queryByText('sk_mock_9f2c7d1e5b')).toBeNull())
  })

  it('remove several tags, and say which one was refused and why', async () => {
    server.use(http.delete('*/api/v1/repositories/:ref/tags/1.4.2', () => HttpResponse.json({ type: 'about:blank', title: '', status: 409, code: 'tag_moved', detail: 'default/web:1.4.2 has been pushed anew since; look at it again.', requestId: 'rq-8' }, { status: 409 })))
    const { person } = open('/repositories/default%2Fweb')
    for (const tag of ['1.4.2', '1.4.0']) await person.click(await screen.findByRole('checkbox', { name: `Choose ${tag}` }))
    await person.click(screen.getByRole('button', { name: 'Remove 2 tags' }))
    const dialog = await screen.findByRole('dialog')
    await within(dialog).findByText(/Frees 34.5 MiB at the next collection/)
    within(dialog).getByText(/^1.4.2 is in use: what runs goes on/)
    await person.click(within(dialog).getByRole('button', { name: 'Remove' }))
    expect((await within(dialog).findAllByRole('alert')).some((alert) => /default\/web:1.4.2 has been pushed anew/.test(alert.textContent ?? ''))).toBe(true)
    within(dialog).getByText(/1 tag is removed/)
    await waitFor(() => expect(screen.queryByRole('link', { name: '1.4.0' })).toBeNull())
    screen.getByRole('link', { name: '1.4.2' })
  })

  it('ask for the name before images are lost, not for an empty one', async () => {
    const { person } = open('/repositories/default%2Fteam%2Fworker')
    await person.click(await screen.findByRole('button', { name: 'More actions' }))
    await person.click(await screen.findByRole('menuitem', { name: 'Remove repository' }))
    const dialog = await screen.findByRole('dialog')
    within(dialog).getByText(/1 tag and 1 image, 40 MiB/)
    const submit = within(dialog).getByRole('button', { name: 'Remove repository' })
    expect(submit).toHaveProperty('disabled', true)
    type(within(dialog).getByRole('textbox'), 'default/team/worker')
    await waitFor(() => expect(submit).toHaveProperty('disabled', false))
  })

  it('show platforms and what refers to an image', async () => {
    open('/repositories/default%2Fweb/images/1.4.2')
    await screen.findByRole('heading', { name: 'default/web:1.4.2' })
    screen.getByRole('link', { name: 'linux/arm64' })
    screen.getByRole('link', { name: 'Signature' })
    screen.getByRole('link', { name: 'SBOM' })
    await screen.findByText('docker pull skerry-1.example.com:7443/default/web:1.4.2')
    screen.getByText('skerry run -d default/web:1.4.2')
  })
})

describe('upstreams', () => {
  it('are tested endpoint by endpoint', async () => {
    const { person } = open('/upstreams')
    await person.click(await screen.findByRole('button', { name: 'Test docker.io' }))
    await screen.findByText(/mirror.example.com does not answer/)
    screen.getByText('Answers, and takes the credentials.')
  })

  it('refuse an endpoint that is no URL at its field', async () => {
    const { person } = open('/upstreams')
    await person.click(await screen.findByRole('button', { name: 'Add upstream' }))
    const dialog = await screen.findByRole('dialog')
    type(within(dialog).getByLabelText('Host'), 'ghcr.io')
    await person.click(within(dialog).getByRole('button', { name: 'Add endpoint' }))
    type(await within(dialog).findByLabelText('Endpoint 1'), 'mirror')
    await screen.findByText('Write a base URL, such as https://mirror.example.com.')
    type(within(dialog).getByLabelText('Endpoint 1'), 'https://mirror.example.com')
    await person.click(within(dialog).getByRole('button', { name: 'Add upstream' }))
    // What was added is tried at once.
    await screen.findByText('Test of ghcr.io')
  })
})

describe('people', () => {
  it('are refused with the server’s sentence when the last administrator would be locked out', async () => {
    const { person } = open('/users')
    await person.click(await screen.findByRole('button', { name: 'Actions for admin' }))
    await person.click(await screen.findByRole('menuitem', { name: 'Lock out' }))
    const dialog = await screen.findByRole('dialog')
    within(dialog).getByText(/1 open session ends and the tokens stop working/)
    await person.click(within(dialog).getByRole('button', { name: 'Lock out' }))
    expect((await within(dialog).findByRole('alert')).textContent).toContain('admin is the last administrator who can sign in; make another one first')
  })

  it('of a tenant are shown with their roles, and taken out of it', async () => {
    const { person } = open('/people')
    await screen.findByText('lin.wei')
    await person.click(screen.getByRole('button', { name: 'Take the role of jonas away' }))
    await person.click(within(await screen.findByRole('dialog')).getByRole('button', { name: 'Remove' }))
    await waitFor(() => expect(screen.queryByText('jonas')).toBeNull())
  })
})

describe('sessions', () => {
  it('end all but this one', async () => {
    const { person } = open('/account')
    await screen.findByText('Safari on iOS')
    await person.click(screen.getByRole('button', { name: 'Sign out the other 2' }))
    const dialog = await screen.findByRole('dialog')
    await person.click(within(dialog).getByRole('button', { name: 'Sign out' }))
    await waitFor(() => expect(screen.queryByText('Safari on iOS')).toBeNull())
    screen.getByText('Chrome on Linux')
  })
})

describe('certificate', () => {
  it('is refused before it is sent when it is none, and by the server with its sentence', async () => {
    const { person } = open('/settings')
    await person.click(await screen.findByRole('button', { name: 'Upload' }))
    const dialog = await screen.findByRole('dialog')
    type(within(dialog).getByLabelText('Certificate chain'), '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----')
    type(within(dialog).getByLabelText('Private key'), '-----BEGIN ENCRYPTED PRIVATE KEY-----')
    await person.click(within(dialog).getByRole('button', { name: 'Use it' }))
    await within(dialog).findByText(/The key is encrypted with a passphrase/)
    type(within(dialog).getByLabelText('Private key'), '-----BEGIN DSA PRIVATE KEY-----\n')
    await person.click(within(dialog).getByRole('button', { name: 'Use it' }))
    expect((await within(dialog).findByText(/this is no private key in PEM/)).textContent).toBeTruthy()
    type(within(dialog).getByLabelText('Private key'), '-----BEGIN PRIVATE KEY-----\nMC4\n-----END PRIVATE KEY-----')
    await person.click(within(dialog).getByRole('button', { name: 'Use it' }))
    await screen.findByText('CN=cloud.example.com')
  })
})
