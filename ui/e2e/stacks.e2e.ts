import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { gzipSync } from 'node:zlib'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openBrowser } from './browser'
import { openMock, openTarget, type Target } from './server'

// Apps by compose text, their revisions and services, the palette, and a session that ends while somebody types, by role,
// label and keyboard, in both languages. Against a node (SKERRY_URL) it runs after console.e2e.ts, which makes the
// administrator; alone it makes him itself.
const words = {
  en: {
    user: 'User name',
    password: 'Password',
    signIn: 'Sign in',
    apps: 'Apps',
    services: 'Services',
    audit: 'Audit',
    events: 'Events',
    search: 'Search objects, pages and actions',
    fromCompose: 'Deploy app from compose',
    text: 'Compose text',
    name: 'Name',
    deploy: 'Deploy',
    line: (line: number) => `Line ${line}:`,
    valid: /^Valid: 1 service/,
    makes: /makes 1 container/,
    replicas: (running: number, desired: number) => `${running} of ${desired} replicas`,
    edit: 'Edit',
    more: 'More actions',
    revisions: 'Revisions',
    goBack: 'Go back to 1',
    goBackSubmit: 'Go back',
    inForce: 'Revision 1 is in force again.',
    scaleField: '1 → 2',
    source: 'Compose',
    charts: 'Charts',
    log: 'Log',
    ended: 'Your session has ended',
    image: 'Image',
    more2: 'More settings (each has a default)',
    command: 'Command',
    choose: (name: string) => `Choose ${name}`,
    removeChosen: 'Remove',
    removeOne: 'Remove 1 app',
    tasks: /^Tasks/,
    deployed: (name: string) => `Deploy ${name}`,
  },
  zh: {
    user: '用户名',
    password: '密码',
    signIn: '登录',
    apps: '应用',
    services: '服务',
    audit: '审计',
    events: '事件',
    search: '搜索对象、页面和操作',
    fromCompose: '用 Compose 部署应用',
    text: 'Compose 文本',
    name: '名称',
    deploy: '部署',
    line: (line: number) => `第 ${line} 行：`,
    valid: /^有效：1 个服务/,
    makes: /新建 1 个容器/,
    replicas: (running: number, desired: number) => `副本 ${running} / ${desired}`,
    edit: '编辑',
    more: '更多操作',
    revisions: '版本',
    goBack: '回滚到 1',
    goBackSubmit: '回滚',
    inForce: '版本 1 已重新生效。',
    scaleField: '1 → 2',
    source: 'Compose',
    charts: '图表',
    log: '日志',
    ended: '会话已结束',
    image: '镜像',
    more2: '更多设置（均有默认值）',
    command: '命令',
    choose: (name: string) => `选择 ${name}`,
    removeChosen: '删除',
    removeOne: '删除 1 个应用',
    tasks: /^任务/,
    deployed: (name: string) => `部署 ${name}`,
  },
}
const languages = (process.env.SKERRY_LANGUAGES?.split(',') ?? ['en', 'zh']) as ('en' | 'zh')[]
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

let target: Target
let password: string

beforeAll(async () => {
  target = await openTarget('busy')
  password = target.real ? 'a-long-enough-password' : 'correct-horse'
})
afterAll(() => target.stop())

/** Fails with what axe-core calls serious or worse on the page as it stands. */
async function expectAccessible(page: Page) {
  await page.evaluate(axe)
  const found = await page.evaluate(async () => {
    const run = (window as unknown as { axe: { run: () => Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> } }).axe.run
    return (await run()).violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => node.html.slice(0, 160)) }))
  })
  expect(found.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([])
}

async function enter(page: Page, say: (typeof words)['en']) {
  const setup = await page.request.get(`${target.url}/api/v1/setup`).then((reply) => reply.json() as Promise<{ needed: boolean }>)
  if (setup.needed) {
    const made = await page.request.post(`${target.url}/api/v1/setup`, { data: { token: target.setupToken, name: 'admin', password } })
    expect(made.status()).toBe(200)
    await page.goto(target.url)
  } else {
    await page.goto(`${target.url}/sign-in`)
    await page.getByLabel(say.user).fill('admin')
    await page.getByLabel(say.password).fill(password)
    await page.keyboard.press('Enter')
  }
  await page.getByRole('navigation').getByRole('link', { name: say.apps, exact: true }).waitFor()
}

describe.each(languages)('stacks in %s', (language) => {
  const say = words[language]
  const app = `stack-${language}`
  const text = (replicas: number, extra = '') => `services:\n  web:\n    image: library/welcome:latest\n${extra}    ports:\n      - "80"\n    deploy:\n      replicas: ${replicas}\n`
  const faults: string[] = []
  let context: BrowserContext
  let page: Page
  let close: () => Promise<void>

  /** Writes a whole text into the editor, as a paste does. */
  const write = async (source: string) => {
    const editor = page.getByRole('textbox', { name: say.text })
    await editor.click()
    await page.keyboard.press('Control+A')
    await page.keyboard.insertText(source)
  }

  beforeAll(async () => {
    if (!target.real) await fetch(`${target.url}/mock/scene/busy`, { method: 'POST' })
    const browser = await openBrowser({ viewport: { width: 1280, height: 800 }, locale: language === 'zh' ? 'zh-CN' : 'en-US', reducedMotion: 'reduce' })
    context = browser.context
    close = browser.close
    page = await context.newPage()
    page.on('pageerror', (error) => faults.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text())) faults.push(message.text())
    })
    await enter(page, say)
  })
  afterAll(() => close())

  it('leads to the compose editor by keyboard alone', async () => {
    await page.keyboard.press('Control+K')
    const field = page.getByRole('combobox', { name: say.search })
    await field.waitFor()
    await field.fill(say.fromCompose)
    await page.getByRole('option', { name: say.fromCompose }).waitFor()
    await expectAccessible(page)
    await page.keyboard.press('Enter')
    await page.waitForURL('**/apps/new?by=compose')
  })

  it('marks what the server refuses at its line, while typing', async () => {
    await write(text(1, '    build: .\n'))
    await page.getByText(say.line(4)).waitFor()
    expect(await page.getByRole('button', { name: say.deploy, exact: true }).isDisabled()).toBe(true)
    await expectAccessible(page)
  })

  it('shows the plan, deploys, and keeps it among the tasks', async () => {
    await write(text(1))
    await page.getByText(say.valid).waitFor()
    await page.getByRole('textbox', { name: say.name, exact: true }).fill(app)
    await page.getByText(say.makes).first().waitFor()
    await expectAccessible(page)
    await page.getByRole('button', { name: say.deploy, exact: true }).click()
    await page.waitForURL(`**/apps/${app}`, { timeout: 60_000 })
    await page.getByText(say.replicas(1, 1)).waitFor({ timeout: 60_000 })
    await page.getByRole('button', { name: say.tasks }).click()
    await page.getByRole('link', { name: say.deployed(app) }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: say.tasks }).click()
  })

  it('edits the text: the plan and the difference stand beside it', async () => {
    await page.goto(`${target.url}/apps/${app}/edit?by=compose`)
    await page.getByText(say.valid).waitFor()
    await write(text(2))
    await page.getByText(say.scaleField).first().waitFor()
    await page.getByRole('table').getByText('replicas: 2').waitFor()
    await expectAccessible(page)
    await page.getByRole('button', { name: say.deploy, exact: true }).click()
    await page.waitForURL(`**/apps/${app}`, { timeout: 60_000 })
    await page.getByText(say.replicas(2, 2)).waitFor({ timeout: 60_000 })
  })

  it('shows the revisions with their difference, and goes back with a plan', async () => {
    await page.getByRole('tab', { name: say.revisions }).click()
    await page.getByRole('table').getByText('replicas: 2').waitFor()
    await expectAccessible(page)
    await page.getByRole('button', { name: say.goBack, exact: true }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('2 → 1').first().waitFor()
    await dialog.getByRole('button', { name: say.goBackSubmit, exact: true }).click()
    await page.getByText(say.inForce).waitFor({ timeout: 60_000 })
    await page.getByText(say.replicas(1, 1)).waitFor({ timeout: 60_000 })
  })

  it('shows the service with its charts and its log', async () => {
    await page.goto(`${target.url}/services`)
    await page.getByRole('row', { name: app }).getByRole('link', { name: 'web', exact: true }).click()
    await page.getByRole('heading', { name: 'web', level: 1 }).waitFor()
    await expectAccessible(page)
    await page.getByRole('tab', { name: say.charts }).click()
    const chart = page.getByRole('tabpanel').getByRole('img').first()
    await chart.waitFor({ timeout: 30_000 })
    // Drawn, not only framed: the charts are SVG.
    await expect.poll(() => chart.locator('svg path').count()).toBeGreaterThan(3)
    await page.getByRole('tab', { name: say.log }).click()
    await page.getByRole('log').waitFor()
  })

  it('finds the app by its name and goes there', async () => {
    await page.keyboard.press('Control+K')
    await page.getByRole('combobox', { name: say.search }).fill(app)
    await page.getByRole('option', { name: app }).first().waitFor()
    await page.keyboard.press('Enter')
    await page.waitForURL('**/apps/**')
    await page.getByRole('heading', { name: app, level: 1 }).waitFor()
  })

  it('keeps what was typed when the session ends', async () => {
    await page.goto(`${target.url}/apps/new`)
    await page.getByLabel(say.image, { exact: true }).fill('library/welcome:latest')
    await page.keyboard.press('Escape')
    await page.getByLabel(say.name, { exact: true }).fill(`kept-${language}`)
    const me = await page.request.get(`${target.url}/api/v1/session`).then((reply) => reply.json() as Promise<{ csrf: string }>)
    const csrf = { 'Skerry-CSRF': me.csrf }
    // The cookie stays in the browser, as it does when the server forgets a session.
    const cookies = await context.cookies()
    await page.request.delete(`${target.url}/api/v1/session`, { headers: csrf })
    await context.addCookies(cookies)
    await page.getByLabel(say.name, { exact: true }).fill(`kept-too-${language}`)
    const dialog = page.getByRole('dialog', { name: say.ended })
    await dialog.waitFor()
    await expectAccessible(page)
    await dialog.getByLabel(say.password).fill(password)
    await page.keyboard.press('Enter')
    await dialog.waitFor({ state: 'hidden' })
    expect(await page.getByLabel(say.name, { exact: true }).inputValue()).toBe(`kept-too-${language}`)
    expect(await page.getByLabel(say.image, { exact: true }).inputValue()).toBe('library/welcome:latest')
  })

  it.each(['events', 'audit', 'services'] as const)('shows the page of %s', async (name) => {
    await page.getByRole('navigation').getByRole('link', { name: say[name], exact: true }).click()
    await page.getByRole('heading', { name: say[name], level: 1, exact: true }).waitFor()
    await page.waitForTimeout(300)
    await expectAccessible(page)
  })

  it('removes chosen apps, naming what goes', async () => {
    await page.goto(`${target.url}/apps`)
    await page.getByRole('checkbox', { name: say.choose(app) }).check()
    await page.getByRole('toolbar').getByRole('button', { name: say.removeChosen, exact: true }).click()
    await page.getByRole('dialog').getByRole('button', { name: say.removeOne, exact: true }).click()
    await page.getByRole('link', { name: app, exact: true }).waitFor({ state: 'detached', timeout: 60_000 })
  })

  it('did all that without a fault of its own and within its content policy', () => {
    expect(faults).toEqual([])
  })
})

describe('the first page', () => {
  it('is within its budget of 400 KiB', async () => {
    const { context, close } = await openBrowser({ viewport: { width: 1280, height: 800 }, locale: 'en-US' })
    try {
      await enter(await context.newPage(), words.en)
      const fresh = await context.newPage()
      // Answered from nowhere but the server, so that each byte is seen.
      await (await context.newCDPSession(fresh)).send('Network.setCacheDisabled', { cacheDisabled: true })
      const reading: Promise<[string, number]>[] = []
      fresh.on('response', (response) => {
        const { pathname } = new URL(response.url())
        if (/\.(js|css|svg)$|\/$/.test(pathname)) reading.push(response.body().then((body): [string, number] => [pathname, gzipSync(body, { level: 9 }).length]))
      })
      await fresh.goto(target.url)
      await fresh.getByRole('heading', { level: 1 }).waitFor()
      const files = (await Promise.all(reading)).sort((a, b) => b[1] - a[1])
      const bytes = files.reduce((sum, [, size]) => sum + size, 0)
      expect(bytes).toBeGreaterThan(50_000)
      expect(bytes, files.map(([file, size]) => `${file} ${Math.round(size / 1024)} KiB`).join('\n')).toBeLessThanOrEqual(400 * 1024)
    } finally {
      await close()
    }
  })
})

describe('a list of 1,000 containers', () => {
  it('draws only what is seen', async () => {
    // A thousand real containers are more than a test machine holds; the page is the very same over the mock.
    const mock = await openMock('busy')
    const { context, close } = await openBrowser({ viewport: { width: 1280, height: 800 }, locale: 'en-US' })
    try {
      const page = await context.newPage()
      await page.goto(`${mock.url}/sign-in`)
      await page.getByLabel(words.en.user).fill('admin')
      await page.getByLabel(words.en.password).fill('correct-horse')
      await page.keyboard.press('Enter')
      await page.getByRole('navigation').getByRole('link', { name: words.en.apps, exact: true }).waitFor()
      await fetch(`${mock.url}/mock/many/1000`, { method: 'POST' })
      await page.goto(`${mock.url}/containers`)
      const rows = page.getByRole('table').getByRole('row')
      await rows.nth(10).waitFor()
      expect(await rows.count()).toBeLessThan(100)
    } finally {
      await close()
      await mock.stop()
    }
  })
})
