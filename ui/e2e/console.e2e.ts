import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openBrowser } from './browser'
import { openTarget, type Target } from './server'

// A person's first minutes, by role and label, in both languages: setup, sign in, deploy welcome, open it, read its log,
// scale it, remove it. Against a node (SKERRY_URL, SKERRY_SETUP_TOKEN) the first language sets the cluster up and the second
// signs in to it; over the mock each begins anew.
const words = {
  en: {
    setupToken: 'Setup token',
    user: 'User name',
    password: 'Password',
    again: 'Password again',
    create: 'Create administrator',
    signIn: 'Sign in',
    signOut: 'Sign out',
    account: 'Account of admin',
    dashboard: 'Dashboard',
    apps: 'Apps',
    images: 'Images',
    nodes: 'Nodes',
    events: 'Events',
    deployApp: 'Deploy app',
    image: 'Image',
    port: 'Port in the container',
    name: 'Name',
    submit: 'Deploy',
    running: 'running',
    replicas: (running: number, desired: number) => `${running} of ${desired} replicas`,
    log: 'Log',
    live: 'Live',
    pause: 'Pause',
    follow: /^Follow/,
    overview: 'Overview',
    replicasOf: (name: string) => `Replicas of ${name}`,
    scaleTo: (count: number) => `Scale to ${count}`,
    more: 'More actions',
    remove: 'Remove app',
    consequence: '3 containers',
    openPort: /^Open port/,
    lost: 'The connection is lost.',
    nameTaken: 'There is already an app named',
  },
  zh: {
    setupToken: '初始化令牌',
    user: '用户名',
    password: '密码',
    again: '再次输入密码',
    create: '创建管理员',
    signIn: '登录',
    signOut: '退出登录',
    account: 'admin 的账户',
    dashboard: '总览',
    apps: '应用',
    images: '镜像',
    nodes: '主机',
    events: '事件',
    deployApp: '部署应用',
    image: '镜像',
    port: '容器端口',
    name: '名称',
    submit: '部署',
    running: '运行中',
    replicas: (running: number, desired: number) => `副本 ${running} / ${desired}`,
    log: '日志',
    live: '实时',
    pause: '暂停',
    follow: /^跟随/,
    overview: '概览',
    replicasOf: (name: string) => `${name} 的副本数`,
    scaleTo: (count: number) => `调整为 ${count} 个`,
    more: '更多操作',
    remove: '删除应用',
    consequence: '3 个容器',
    openPort: /^打开端口/,
    lost: '连接已断开',
    nameTaken: '已有名为',
  },
}
const languages = (process.env.SKERRY_LANGUAGES?.split(',') ?? ['en', 'zh']) as ('en' | 'zh')[]
const password = 'a-long-enough-password'
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

let target: Target
let setUp = false

beforeAll(async () => {
  target = await openTarget('fresh')
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

describe.each(languages)('console in %s', (language) => {
  const say = words[language]
  const app = `welcome-${language}`
  let context: BrowserContext
  let page: Page
  let close: () => Promise<void>
  const faults: string[] = []

  beforeAll(async () => {
    if (!target.real) {
      await fetch(`${target.url}/mock/scene/fresh`, { method: 'POST' })
      setUp = false
    }
    const browser = await openBrowser({ viewport: { width: 1280, height: 800 }, locale: language === 'zh' ? 'zh-CN' : 'en-US', reducedMotion: 'reduce' })
    context = browser.context
    close = browser.close
    page = await context.newPage()
    page.on('pageerror', (error) => faults.push(String(error)))
    page.on('console', (message) => {
      // What the browser says of refused requests is expected here; a refused script, style or connection is not.
      if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text())) faults.push(message.text())
    })
  })
  afterAll(() => close())

  it('lets the first administrator in with the setup token', async () => {
    if (setUp) {
      // The node has its administrator: its console leads to the sign-in page, not to setup.
      await page.goto(`${target.url}/setup`)
      await page.getByRole('heading', { name: say.signIn }).waitFor()
      return
    }
    await page.goto(target.url)
    await page.waitForURL('**/setup')
    await page.getByLabel(say.setupToken).fill('not-the-token')
    await page.getByLabel(say.password, { exact: true }).fill(password)
    await page.getByLabel(say.again).fill(password)
    await page.getByRole('button', { name: say.create }).click()
    await page.getByRole('alert').first().waitFor()
    // What was typed is still there.
    expect(await page.getByLabel(say.password, { exact: true }).inputValue()).toBe(password)
    await expectAccessible(page)
    await page.getByLabel(say.setupToken).fill(target.setupToken)
    await page.getByRole('button', { name: say.create }).click()
    await page.getByRole('heading', { name: say.dashboard, level: 1 }).waitFor()
    setUp = true
    await page.getByRole('button', { name: say.account }).click()
    await page.getByRole('menuitem', { name: say.signOut }).click()
    await page.getByRole('heading', { name: say.signIn }).waitFor()
  })

  it('refuses a wrong password with a sentence, and signs in by keyboard alone', async () => {
    await page.goto(`${target.url}/apps`)
    await page.getByRole('heading', { name: say.signIn }).waitFor()
    await page.getByLabel(say.user).fill('admin')
    await page.getByLabel(say.password).fill('not the password')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').first().waitFor()
    expect(await page.getByLabel(say.user).inputValue()).toBe('admin')
    await expectAccessible(page)
    await page.getByLabel(say.password).fill(password)
    await page.keyboard.press('Enter')
    // It leads to the page that was asked for.
    await page.getByRole('heading', { name: say.apps, level: 1 }).waitFor()
  })

  it('deploys welcome by form', async () => {
    await page.getByRole('link', { name: say.deployApp }).first().click()
    await page.getByLabel(say.image, { exact: true }).fill('welcome')
    await page.getByRole('option').first().waitFor({ state: 'attached' })
    await page.getByLabel(say.image, { exact: true }).fill('library/welcome:latest')
    await page.keyboard.press('Escape')
    await page.getByLabel(say.name, { exact: true }).fill(app)
    await page.getByLabel(say.port, { exact: true }).fill('80')
    await page.getByText(`skerry run -d -n ${app} -p :80`).waitFor()
    await page.getByRole('button', { name: say.submit, exact: true }).click()
    await page.waitForURL(`**/apps/${app}`)
    await page.getByText(say.replicas(1, 1)).waitFor({ timeout: 60_000 })
    await expectAccessible(page)
  })

  it('refuses the name a second time and keeps the form', async () => {
    await page.goto(`${target.url}/apps/new`)
    await page.getByLabel(say.image, { exact: true }).fill('library/welcome:latest')
    await page.keyboard.press('Escape')
    await page.getByLabel(say.name, { exact: true }).fill(app)
    await page.getByRole('button', { name: say.submit, exact: true }).click()
    // By the form when it knows the names already, else by the server's sentence.
    await page.getByRole('alert').or(page.getByText(say.nameTaken)).first().waitFor()
    expect(page.url()).toContain('/apps/new')
    expect(await page.getByLabel(say.image, { exact: true }).inputValue()).toBe('library/welcome:latest')
    await expectAccessible(page)
  })

  it('opens it', async () => {
    await page.goto(`${target.url}/apps`)
    const link = page.getByRole('row', { name: app }).getByRole('link', { name: say.openPort })
    await link.waitFor()
    expect(await link.getAttribute('href')).toMatch(/^http:\/\/[^/]+:\d+\/$/)
    await expectAccessible(page)
    if (!target.real) return
    const [opened] = await Promise.all([context.waitForEvent('page'), link.click()])
    await opened.waitForLoadState()
    expect(await opened.locator('body').innerText()).toMatch(/\S/)
    await opened.close()
  })

  it('shows its log live', async () => {
    await page.getByRole('link', { name: app, exact: true }).click()
    await page.getByRole('tab', { name: say.log }).click()
    const log = page.getByRole('log')
    await log.locator('.sk-log-text').filter({ hasText: /\S/ }).first().waitFor()
    await page.getByText(say.live, { exact: true }).waitFor()
    await page.getByRole('button', { name: say.pause }).click()
    await page.getByRole('button', { name: say.follow }).click()
    await expectAccessible(page)
  })

  it('scales it', async () => {
    await page.getByRole('tab', { name: say.overview }).click()
    const replicas = page.getByLabel(say.replicasOf(app))
    await replicas.click()
    await page.keyboard.press('Control+A')
    await page.keyboard.press('Backspace')
    await page.keyboard.type('3')
    await page.getByRole('button', { name: say.scaleTo(3) }).click()
    await page.getByText(say.replicas(3, 3)).waitFor({ timeout: 60_000 })
    await expectAccessible(page)
  })

  it('says when the connection is lost and catches up', async () => {
    await page.goto(target.url)
    await page.getByRole('heading', { name: say.dashboard, level: 1 }).waitFor()
    await expectAccessible(page)
    await page.waitForTimeout(500)
    await context.setOffline(true)
    await page.getByText(say.lost).waitFor({ timeout: 30_000 })
    await context.setOffline(false)
    await page.getByText(say.lost).waitFor({ state: 'hidden', timeout: 30_000 })
  })

  it.each(['images', 'nodes', 'events'] as const)('shows the page of %s', async (name) => {
    await page.getByRole('navigation').getByRole('link', { name: say[name], exact: true }).click()
    await page.getByRole('heading', { name: say[name], level: 1, exact: true }).waitFor()
    await page.getByText(name === 'images' ? 'library/welcome' : /\w/).first().waitFor()
    await expectAccessible(page)
  })

  it('removes it, naming what goes', async () => {
    await page.goto(`${target.url}/apps/${app}`)
    await page.getByText(say.replicas(3, 3)).waitFor()
    await page.getByRole('button', { name: say.more }).click()
    await page.getByRole('menuitem', { name: say.remove }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText(say.consequence).waitFor()
    await expectAccessible(page)
    await dialog.getByRole('button', { name: say.remove }).click()
    await page.getByRole('heading', { name: say.apps, level: 1 }).waitFor({ timeout: 60_000 })
    await page.getByRole('link', { name: app, exact: true }).waitFor({ state: 'detached', timeout: 60_000 })
  })

  it('did all that without a fault of its own and within its content policy', () => {
    expect(faults).toEqual([])
  })
})
