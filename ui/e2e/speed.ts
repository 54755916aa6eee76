import { gzipSync } from 'node:zlib'
import type { Page } from 'playwright-core'
import { openBrowser } from './browser'
import { openMock, openTarget, type Target } from './server'

// How fast the console is. Measured, not tested: times depend on what else the machine does, so no test may hang on them.
// The first page is that of a node when SKERRY_URL names one (with SKERRY_PASSWORD, if its administrator exists); a thousand
// containers and a hundred thousand lines are more than a machine that measures holds, so those stand on the mock.

const rounds = 5

/** Measures everything and hands on one `name=value unit` line for each figure. */
export async function measure(say: (line: string) => void) {
  const target = await openTarget('busy')
  const mock = target.real ? await openMock('busy') : target
  try {
    await firstPage(target, say)
    await thousandContainers(mock, say)
    await longLog(mock, say)
  } finally {
    await target.stop()
    if (mock !== target) await mock.stop()
  }
}

/** The median with the least and the most of some figures. */
function line(name: string, values: number[], unit: string): string {
  const sorted = [...values].sort((a, b) => a - b).map(Math.round)
  return `${name}=${sorted[Math.floor(sorted.length / 2)]} ${unit} [${sorted[0]}-${sorted.at(-1)}]`
}

async function withPage(work: (page: Page) => Promise<void>) {
  const { context, close } = await openBrowser({ viewport: { width: 1280, height: 800 }, locale: 'en-US', reducedMotion: 'reduce' })
  try {
    await work(await context.newPage())
  } finally {
    await close()
  }
}

async function enter(page: Page, target: Target) {
  const password = process.env.SKERRY_PASSWORD ?? (target.real ? 'a-long-enough-password' : 'correct-horse')
  const setup = (await (await page.request.get(`${target.url}/api/v1/setup`)).json()) as { needed: boolean }
  if (setup.needed) {
    const made = await page.request.post(`${target.url}/api/v1/setup`, { data: { token: target.setupToken, name: 'admin', password } })
    if (!made.ok()) throw new Error(`set up: ${made.status()} ${await made.text()}`)
    await page.goto(target.url)
  } else {
    await page.goto(`${target.url}/sign-in`)
    await page.getByLabel('User name').fill('admin')
    await page.getByLabel('Password').fill(password)
    await page.keyboard.press('Enter')
  }
  await page.getByRole('navigation').getByRole('link', { name: 'Apps', exact: true }).waitFor()
}

/** What the dashboard takes of somebody who is signed in: its bytes without a cache, and the time until it answers. */
async function firstPage(target: Target, say: (line: string) => void) {
  await withPage(async (page) => {
    await enter(page, target)
    const times: number[] = []
    for (let round = 0; round < rounds; round++) {
      const fresh = await page.context().newPage()
      const sizes: Promise<number>[] = []
      if (round === 0) {
        // Answered from nowhere but the server, so that each byte is seen.
        await (await fresh.context().newCDPSession(fresh)).send('Network.setCacheDisabled', { cacheDisabled: true })
        fresh.on('response', (response) => {
          if (/\.(js|css|svg)$|\/$/.test(new URL(response.url()).pathname)) sizes.push(response.body().then((body) => gzipSync(body, { level: 9 }).length, () => 0))
        })
      }
      await fresh.goto(target.url, { waitUntil: 'commit' })
      await fresh.getByRole('heading', { level: 1 }).waitFor()
      // Interactive: the heading stands and a timer is answered at once.
      times.push(await fresh.evaluate(() => new Promise<number>((resolve) => setTimeout(() => resolve(performance.now())))))
      if (round === 0) say(`console_first_page=${Math.round((await Promise.all(sizes)).reduce((sum, size) => sum + size, 0) / 1024)} KiB`)
      await fresh.close()
    }
    say(line('console_interactive', times, 'ms'))
  })
}

/** The longest task of each round of turning the wheel as a hand does: some 7,000 px in a second, first one way, then back. */
async function turnWheel(page: Page, way: 1 | -1): Promise<number[]> {
  const longest: number[] = []
  await page.mouse.move(700, 500)
  for (let round = 0; round < rounds; round++) {
    await watchTasks(page)
    for (let i = 0; i < 60; i++) {
      await page.mouse.wheel(0, (round % 2 === 0 ? 120 : -120) * way)
      await page.waitForTimeout(16)
    }
    await page.waitForTimeout(300)
    longest.push(await longestTask(page))
  }
  return longest
}

/** Counts anew. The browser calls a task long from 50 ms on: shorter ones count as 0. */
async function watchTasks(page: Page) {
  await page.evaluate(() => {
    const seen = window as unknown as { longest: number; observer?: PerformanceObserver }
    seen.observer?.disconnect()
    seen.longest = 0
    seen.observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) seen.longest = Math.max(seen.longest, entry.duration)
    })
    seen.observer.observe({ entryTypes: ['longtask'] })
  })
}

const longestTask = (page: Page) => page.evaluate(() => (window as unknown as { longest: number }).longest)

async function thousandContainers(mock: Target, say: (line: string) => void) {
  await withPage(async (page) => {
    await enter(page, mock)
    await fetch(`${mock.url}/mock/many/1000`, { method: 'POST' })
    await page.goto(`${mock.url}/containers`)
    const rows = page.getByRole('table').getByRole('row')
    await rows.nth(10).waitFor()
    await page.waitForTimeout(1_500)
    say(line('console_containers_1000_longest_task', await turnWheel(page, 1), 'ms'))
    say(`console_containers_1000_rows_drawn=${await rows.count()} rows`)
  })
}

/** A log of a hundred thousand lines, as much as the page keeps: how soon its end stands there, and how it scrolls. */
async function longLog(mock: Target, say: (line: string) => void) {
  const count = 100_000
  await withPage(async (page) => {
    await enter(page, mock)
    const found = (await (await page.request.get(`${mock.url}/api/v1/containers`)).json()) as { items: { id: string; name: string; status: { phase: string } }[] }
    const container = found.items.find(({ status }) => status.phase === 'running')
    if (!container) throw new Error('the mock runs no container')
    await page.route(`**/api/v1/containers/${container.id}/logs*`, (route) => route.continue({ url: `${route.request().url()}&lines=${count}` }))
    await page.goto(`${mock.url}/containers/${container.id}`)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await watchTasks(page)
    const began = performance.now()
    await page.getByRole('tab', { name: 'Log' }).click()
    const log = page.getByRole('log')
    await log.getByText(`GET /items/${(count - 1) * 37} `).waitFor({ timeout: 120_000 })
    say(`console_log_100000_filled=${((performance.now() - began) / 1000).toFixed(1)} s`)
    say(`console_log_100000_fill_longest_task=${Math.round(await longestTask(page))} ms`)
    await log.hover()
    say(line('console_log_100000_longest_task', await turnWheel(page, -1), 'ms'))
  })
}
