import { afterEach, describe, expect, it, vi } from 'vitest'
import { cancelTask, currentTasks, dismissEnded, dismissTask, runTask, subscribeTasks, type TaskHandle } from './tasks'

afterEach(() => dismissEnded())

/** Work that the test ends by hand. */
function held(options: Parameters<typeof runTask>[0]) {
  let handle: TaskHandle | undefined
  let finish: (value: string) => void = () => {}
  let fail: (error: unknown) => void = () => {}
  const promise = runTask(options, (task) => {
    handle = task
    task.signal.addEventListener('abort', () => fail(new DOMException('stopped', 'AbortError')))
    return new Promise<string>((resolve, reject) => {
      finish = resolve
      fail = reject
    })
  })
  return { promise, task: handle as TaskHandle, finish: (value: string) => finish(value), fail: (error: unknown) => fail(error) }
}

describe('tasks', () => {
  it('are the work’s own promise and tell how it ends', async () => {
    const work = held({ kind: 'deploy', title: 'shop' })
    expect(currentTasks()[0]).toMatchObject({ title: 'shop', state: 'running', cancel: true, leaving: false })
    work.finish('made')
    expect(await work.promise).toBe('made')
    expect(currentTasks()[0]).toMatchObject({ state: 'done' })
  })

  it('add the bytes of their steps up', async () => {
    const work = held({ kind: 'pull', title: 'nginx' })
    work.task.step({ id: 'a', step: 'pulling', current: 10, total: 100 })
    work.task.step({ id: 'b', step: 'pulling', current: 5, total: 50 })
    work.task.step({ id: 'a', step: 'pulling', current: 90, total: 100 })
    work.task.step({ id: 'c', step: 'starting', message: 'Starting nginx-1' })
    expect(currentTasks()[0]).toMatchObject({ current: 95, total: 150, detail: 'Starting nginx-1' })
    expect(currentTasks()[0]?.steps.map(({ id }) => id)).toEqual(['a', 'b', 'c'])
    work.finish('')
    await work.promise
  })

  it('end cancelled, not failed, when the person cancels', async () => {
    const work = held({ kind: 'upload', title: 'app.tar' })
    cancelTask(work.task.id)
    await expect(work.promise).rejects.toThrow('stopped')
    expect(currentTasks()[0]).toMatchObject({ state: 'cancelled' })
    expect(currentTasks()[0]?.problem).toBeUndefined()
    dismissTask(work.task.id)
    expect(currentTasks()).toEqual([])
  })

  it('keep the server’s sentence, code and request id of a failure', async () => {
    const work = held({ kind: 'deploy', title: 'shop' })
    work.fail(Object.assign(new Error('Port 22 is held by sshd.'), { code: 'port_taken', requestId: 'rq-1' }))
    await expect(work.promise).rejects.toThrow('sshd')
    expect(currentTasks()[0]?.problem).toEqual({ message: 'Port 22 is held by sshd.', code: 'port_taken', requestId: 'rq-1' })
  })

  it('ask before the page is left only while bytes of it are on their way', async () => {
    const leave = () => {
      const event = new Event('beforeunload', { cancelable: true })
      dispatchEvent(event)
      return event.defaultPrevented
    }
    const pull = held({ kind: 'pull', title: 'nginx' })
    expect(leave()).toBe(false)
    const upload = held({ kind: 'upload', title: 'app.tar' })
    expect(leave()).toBe(true)
    upload.finish('')
    await upload.promise
    expect(leave()).toBe(false)
    pull.finish('')
    await pull.promise
  })

  it('tell of a thousand reports a few times', async () => {
    vi.useFakeTimers()
    const told = vi.fn()
    const work = held({ kind: 'upload', title: 'app.tar' })
    const stop = subscribeTasks(told)
    for (let i = 0; i < 1000; i++) work.task.progress(i, 1000)
    vi.advanceTimersByTime(100)
    expect(told).toHaveBeenCalledTimes(1)
    stop()
    vi.useRealTimers()
    work.finish('')
    await work.promise
  })

  it('forget the oldest that ended, never one that runs', async () => {
    const running = held({ kind: 'work', title: 'long' })
    for (let i = 0; i < 40; i++) await runTask({ kind: 'work', title: `t${i}` }, () => Promise.resolve())
    expect(currentTasks().length).toBeLessThanOrEqual(22)
    expect(currentTasks().some(({ title }) => title === 'long')).toBe(true)
    running.finish('')
    await running.promise
  })
})
