import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Invalidator } from './events'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('asks again only when the round before has been answered', async () => {
  const asked: string[] = []
  let answer = () => {}
  const invalidator = new Invalidator({
    invalidateQueries: (filters) => {
      asked.push(JSON.stringify(filters?.queryKey))
      return new Promise<void>((resolve) => (answer = resolve))
    },
  })
  invalidator.add([['containers']])
  invalidator.add([['containers']])
  await vi.advanceTimersByTimeAsync(250)
  expect(asked).toEqual(['["containers"]'])
  for (let n = 0; n < 20; n++) {
    invalidator.add([['containers']])
    await vi.advanceTimersByTimeAsync(200)
  }
  expect(asked).toHaveLength(1) // the answer is still on its way: nothing ends it
  answer()
  await vi.advanceTimersByTimeAsync(250)
  expect(asked).toHaveLength(2) // what changed meanwhile is not forgotten
  answer()
  await vi.advanceTimersByTimeAsync(1_000)
  expect(asked).toHaveLength(2)
  invalidator.add([['nodes']])
  invalidator.stop()
  await vi.advanceTimersByTimeAsync(1_000)
  expect(asked).toHaveLength(2)
})
