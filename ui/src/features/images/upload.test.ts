import { QueryClient } from '@tanstack/react-query'
import { http, HttpResponse } from 'msw'
import { setupServer } from 'msw/node'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { cancelTask, currentTasks, dismissEnded } from '@/shared/lib/tasks'
import { canRetry, forgetUpload, looksLikeArchive, retryUpload, startUpload } from './upload'

const server = setupServer()
beforeAll(() => server.listen({ onUnhandledRequest: 'error' }))
afterEach(() => {
  server.resetHandlers()
  dismissEnded()
})
afterAll(() => server.close())

const queries = new QueryClient()
const file = (name = 'app.tar', size = 4096) => new File([new Uint8Array(size)], name)
const until = async (what: () => boolean) => {
  for (const end = Date.now() + 5_000; !what() && Date.now() < end; ) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(what()).toBe(true)
}
const running = () => currentTasks().filter((task) => task.kind === 'upload')[0]

describe('an upload', () => {
  it('is a task that names the image which it made and leads to it', async () => {
    server.use(http.post('*/api/v1/image-imports', () => HttpResponse.json({ items: [{ id: 'im-1', name: 'team/app:1.0' }] }, { status: 201 })))
    const made = await startUpload(queries, file(), 'team/app:1.0')
    expect(made?.[0]?.name).toBe('team/app:1.0')
    expect(running()).toMatchObject({ title: 'app.tar', state: 'done', to: '/images/im-1', detail: 'team/app:1.0' })
  })

  it('that is cancelled breaks the request off and leaves nothing to retry', async () => {
    // The interceptor answers an aborted request all the same, so a request of our own stands in for the browser's.
    const aborted = vi.fn()
    class Held {
      upload: { onprogress?: (event: { loaded: number; total: number }) => void } = {}
      onabort?: () => void
      open() {}
      setRequestHeader() {}
      send() {
        this.upload.onprogress?.({ loaded: 1024, total: 4096 })
      }
      abort() {
        aborted()
        this.onabort?.()
      }
    }
    vi.stubGlobal('XMLHttpRequest', Held)
    const upload = startUpload(queries, file(), '')
    await until(() => running()?.current === 1024)
    const id = running()?.id ?? 0
    expect(canRetry(id)).toBe(true)
    cancelTask(id)
    expect(await upload).toBeNull()
    vi.unstubAllGlobals()
    expect(aborted).toHaveBeenCalledTimes(1)
    expect(running()).toMatchObject({ state: 'cancelled' })
    expect(running()?.problem).toBeUndefined()
    expect(canRetry(id)).toBe(false)
  })

  it('that fails keeps the server’s sentence and its file, and can be tried again', async () => {
    server.use(
      http.post('*/api/v1/image-imports', () => HttpResponse.json({ type: 'about:blank', title: '', status: 422, code: 'archive_invalid', detail: 'The archive ends in the middle of a layer; make it again.', requestId: 'rq-7' }, { status: 422 }), { once: true }),
      http.post('*/api/v1/image-imports', () => HttpResponse.json({ items: [{ id: 'im-2', name: 'team/app:1.0' }] }, { status: 201 })),
    )
    expect(await startUpload(queries, file(), '')).toBeNull()
    const failed = running()
    expect(failed).toMatchObject({ state: 'failed', problem: { message: 'The archive ends in the middle of a layer; make it again.', code: 'archive_invalid', requestId: 'rq-7' } })
    expect(canRetry(failed?.id ?? 0)).toBe(true)
    retryUpload(queries, failed?.id ?? 0)
    await until(() => running()?.state === 'done')
    expect(currentTasks().some((task) => task.state === 'failed')).toBe(false)
  })

  it('that was dismissed is forgotten with its file', async () => {
    server.use(http.post('*/api/v1/image-imports', () => HttpResponse.error()))
    await startUpload(queries, file(), '')
    const id = running()?.id ?? 0
    forgetUpload(id)
    expect(canRetry(id)).toBe(false)
    expect(running()).toBeUndefined()
  })

  it('is not begun with what surely is no archive', () => {
    for (const name of ['a.tar', 'a.tar.gz', 'a.tgz', 'a.tar.zst', 'A.TAR', 'image']) expect(looksLikeArchive({ name, size: 1 }), name).toBe(true)
    for (const name of ['a.png', 'a.zip', 'a.tar.sha256']) expect(looksLikeArchive({ name, size: 1 }), name).toBe(false)
    expect(looksLikeArchive({ name: 'a.tar', size: 0 })).toBe(false)
  })
})
