import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openBrowser } from './browser'
import { openTarget, type Target } from './server'

// Nodes and the quorum, by role and label, in both languages. Against a node (SKERRY_URL) it holds for a cluster of one
// member: the panel says so, a real join token is made and revoked, labels are set, and the node is drained and activated
// again. Over the mock several nodes are shown besides. It makes the administrator where no other file has.
const words = {
  en: {
    setupToken: 'Setup token', user: 'User name', password: 'Password', again: 'Password again', create: 'Create administrator', signIn: 'Sign in', nodes: 'Nodes', dashboard: 'Dashboard',
    quorum: 'Quorum', one: 'This cluster has one member', leader: (name: string) => `Leader: ${name}`, add: 'Add a node', worker: 'worker', member: 'member', make: 'Make the line to paste', works: /^Works for another (\d+ min|1 h)/,
    waiting: 'Waiting for the node. It shows here as soon as it joins.', arrivals: 'Nodes that have joined', revokeThis: 'Revoke this token', revoked: 'revoked', done: 'Done', tokens: 'Join tokens',
    edit: 'Edit', addLabel: 'Add label', label: 'Label', value: 'Value', save: 'Save', removeRow: 'Remove row', up: 'up', margin: 'You can lose 1 more node', filter: 'Name, address or label', waits: 'What waits', drain: 'Drain', activate: 'Activate', more: 'More actions', remove: 'Remove node',
    draining: 'draining', stays: 'Nothing new is put here until it is activated again.', lost: /^The quorum is lost: 1 of the 2 voters needed/, lostBanner: /^The quorum is lost\. You can look/, stale: /^This node has been cut off from the cluster for 1 min 23 s/, cutOff: /so it cannot tell whether your sign-in still holds/, leaderless: /^The cluster has no leader/, degraded: /^Writes are on one disk only/, left: '2 left', charts: 'Charts', containers: 'Containers',
  },
  zh: {
    setupToken: '初始化令牌', user: '用户名', password: '密码', again: '再次输入密码', create: '创建管理员', signIn: '登录', nodes: '主机', dashboard: '总览',
    quorum: '法定人数', one: '集群只有一台管理主机', leader: (name: string) => `领导者：${name}`, add: '添加主机', worker: '工作主机', member: '管理主机', make: '生成命令', works: /^还有 (\d+ 分钟|1 小时)/,
    waiting: '正在等待主机加入，加入后会立即显示在这里。', arrivals: '已加入的主机', revokeThis: '吊销此令牌', revoked: '已吊销', done: '完成', tokens: '加入令牌',
    edit: '编辑', addLabel: '添加标签', label: '标签', value: '值', save: '保存', removeRow: '删除行', up: '在线', margin: '还可以再失去 1 台主机', filter: '名称、地址或标签', waits: '等待中的容器', drain: '排空', activate: '恢复调度', more: '更多操作', remove: '移除主机',
    draining: '排空中', stays: '恢复调度之前，不会再有新容器放到这里。', lost: /^法定人数已丢失：需要 2 台投票主机/, lostBanner: /^法定人数已丢失。一切仍可查看/, stale: /^这台主机与集群断开已 1 分钟 23 秒/, cutOff: /无法确认你的登录是否仍然有效/, leaderless: /^集群当前没有领导者/, degraded: /^写入只在一块磁盘上/, left: '剩余 2 个', charts: '图表', containers: '容器',
  },
}
const languages = (process.env.SKERRY_LANGUAGES?.split(',') ?? ['en', 'zh']) as ('en' | 'zh')[]
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

let target: Target
/** As console.e2e.ts makes it; over the mock as the mock has it. */
let password = 'a-long-enough-password'

beforeAll(async () => {
  target = await openTarget('busy')
  if (!target.real) password = 'correct-horse'
})
afterAll(() => target.stop())

const mock = (path: string) => fetch(`${target.url}/mock/${path}`, { method: 'POST' })

/** What axe-core calls serious or worse in the page and its dialogs; console.e2e.ts looks at the frame around them. */
async function serious(page: Page) {
  await page.evaluate(axe)
  const found = await page.evaluate(async () => {
    const run = (window as unknown as { axe: { run: (where: { include: string[] }) => Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> } }).axe.run
    const include = ['main', ...(document.querySelector('[role=dialog]') ? ['[role=dialog]'] : [])]
    return (await run({ include })).violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => node.html.slice(0, 160)) }))
  })
  return found.filter(({ impact }) => impact === 'serious' || impact === 'critical')
}

/** Fails with what is serious, also after the colours that fade in where a page changes have come to rest. */
async function expectAccessible(page: Page) {
  let found = await serious(page)
  if (found.length > 0) {
    await page.waitForTimeout(1_000)
    found = await serious(page)
  }
  expect(found).toEqual([])
}

describe.each(languages)('nodes, in %s', (language) => {
  const say = words[language]
  let context: BrowserContext
  let page: Page
  let close: () => Promise<void>
  let node = 'skerry-1'
  const faults: string[] = []
  const button = (name: string, within: Page | ReturnType<Page['getByRole']> = page) => within.getByRole('button', { name, exact: true })
  const dialog = () => page.getByRole('dialog')
  const go = (path: string) => page.goto(target.url + path)

  beforeAll(async () => {
    if (!target.real) await mock('scene/busy')
    const browser = await openBrowser({ viewport: { width: 1280, height: 800 }, locale: language === 'zh' ? 'zh-CN' : 'en-US', reducedMotion: 'reduce' })
    context = browser.context
    close = browser.close
    page = await context.newPage()
    page.on('pageerror', (error) => faults.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text())) faults.push(message.text())
    })
    // Whoever comes first makes the administrator.
    const { needed } = (await (await context.request.get(`${target.url}/api/v1/setup`)).json()) as { needed: boolean }
    if (needed) {
      await go('/setup')
      await page.getByLabel(say.setupToken).fill(target.setupToken)
      await page.getByLabel(say.password, { exact: true }).fill(password)
      await page.getByLabel(say.again).fill(password)
      await button(say.create).click()
    } else {
      await go('/sign-in')
      await page.getByLabel(say.user).fill('admin')
      await page.getByLabel(say.password).fill(password)
      await button(say.signIn).click()
    }
    await page.getByRole('heading', { name: say.dashboard, level: 1 }).waitFor()
  })
  afterAll(() => close())

  it('says on dashboard and nodes page that the cluster has one member', async () => {
    await page.getByRole('region', { name: say.quorum }).getByText(say.one).waitFor()
    await page.getByRole('navigation').getByRole('link', { name: say.nodes, exact: true }).click()
    await page.getByRole('heading', { name: say.nodes, level: 1, exact: true }).waitFor()
    const panel = page.getByRole('region', { name: say.quorum })
    await panel.getByText(say.one).waitFor()
    node = (await page.getByRole('table').first().getByRole('link').first().innerText()).trim()
    await panel.getByText(say.leader(node)).waitFor()
    await page.getByRole('row', { name: node }).getByText(say.up, { exact: true }).waitFor()
    await expectAccessible(page)
  })

  it('makes a join token, shows the line to paste, and revokes it', async () => {
    await button(say.add).click()
    await expectAccessible(page)
    await dialog().getByRole('radio', { name: say.worker }).check()
    await button(say.make, dialog()).click()
    const line = dialog().locator('pre').first()
    await line.waitFor()
    expect(await line.innerText()).toMatch(/^skerry join SK1\.w\.[0-9a-z]+\.[\w-]+\.[\w-]{43}\.\S+ \S+:\d+/)
    await dialog().getByText(say.works).waitFor()
    await dialog().getByText(say.waiting).waitFor()
    await expectAccessible(page)
    if (!target.real) {
      await mock('join')
      const arrivals = dialog().getByRole('status', { name: say.arrivals })
      await arrivals.getByRole('link', { name: 'skerry-2' }).waitFor()
      await arrivals.getByText(say.up, { exact: true }).waitFor()
    } else {
      await button(say.revokeThis, dialog()).click()
      await dialog().getByText(say.revoked).waitFor()
    }
    await button(say.done, dialog()).click()
    await dialog().waitFor({ state: 'detached' })
    await page.getByRole('heading', { name: say.tokens }).waitFor()
    await expectAccessible(page)
    if (!target.real) await mock('scene/busy')
  })

  it('sets a label and takes it off again', async () => {
    const label = `e2e-${language}`
    await go(`/nodes/${encodeURIComponent(node)}`)
    await button(say.edit).click()
    await button(say.addLabel, dialog()).click()
    await dialog().getByLabel(say.label, { exact: true }).last().fill(label)
    await dialog().getByLabel(say.value, { exact: true }).last().fill('yes')
    await expectAccessible(page)
    await button(say.save, dialog()).click()
    await page.getByText(`${label}=yes`, { exact: true }).waitFor()
    await dialog().waitFor({ state: 'detached' })
    await button(say.edit).click()
    await dialog().getByRole('button', { name: say.removeRow }).last().click()
    await button(say.save, dialog()).click()
    await page.getByText(`${label}=yes`, { exact: true }).waitFor({ state: 'detached' })
    await dialog().waitFor({ state: 'detached' })
  })

  it('drains the node and activates it again, saying what that does', async () => {
    await button(say.drain).click()
    await dialog().getByText(say.stays).waitFor()
    await expectAccessible(page)
    await button(say.drain, dialog()).click()
    await page.getByRole('heading', { name: say.drain, exact: true }).waitFor()
    await expectAccessible(page)
    await button(say.activate).click()
    await button(say.drain).waitFor()
    await page.getByRole('tab', { name: say.charts }).click()
    await page.getByRole('tab', { name: say.containers, exact: true }).click()
    await expectAccessible(page)
  })

  it('shows several nodes, at 390 px too', async ({ skip }) => {
    skip(target.real, 'a single node: the scenes are the mock’s')
    await mock('scene/cluster')
    await go('/nodes')
    await page.getByText(say.margin).waitFor()
    await page.getByRole('link', { name: 'worker-6' }).waitFor()
    await page.getByRole('row', { name: /skerry-4/ }).getByText(say.left).waitFor()
    await page.getByRole('row', { name: /skerry-1/ }).getByRole('meter').first().waitFor()
    await expectAccessible(page)
    await page.getByLabel(say.filter).fill('zone=b')
    await page.getByRole('row', { name: /worker-6/ }).waitFor({ state: 'detached' })
    expect(page.url()).toContain('q=zone%3Db')
    await go('/services/shop.web')
    await page.getByText('node.labels.disk==ssd').waitFor()
    await page.getByRole('row', { name: /shop-web-2/ }).getByRole('link', { name: 'skerry-2' }).waitFor()
    await expectAccessible(page)
    await go('/nodes/skerry-4')
    await page.getByRole('list', { name: say.waits }).getByText('orders-db-postgres-1').waitFor()
    await button(say.more).click()
    await page.getByRole('menuitem', { name: say.remove }).click()
    await dialog().getByRole('checkbox').check()
    expect(await button(say.remove, dialog()).isDisabled()).toBe(true)
    await dialog().getByRole('textbox').fill('skerry-4')
    await expectAccessible(page)
    await button(say.remove, dialog()).click()
    await page.getByRole('heading', { name: say.nodes, level: 1, exact: true }).waitFor()
    await page.getByRole('link', { name: 'skerry-4', exact: true }).first().waitFor({ state: 'detached' })
    await page.setViewportSize({ width: 390, height: 844 })
    await page.getByRole('link', { name: 'worker-6' }).waitFor()
    // Nothing makes the page wider than the screen.
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390)
    await page.setViewportSize({ width: 1280, height: 800 })
  })

  it('says what a quorum lost, a pair and a node cut off mean, and stays readable', async ({ skip }) => {
    skip(target.real, 'a single node: the scenes are the mock’s')
    await mock('scene/pair')
    await go('/nodes')
    await page.getByText(say.degraded).waitFor()
    await expectAccessible(page)
    await mock('scene/lost')
    await go('/')
    await page.getByText(say.lost).waitFor()
    await page.getByText(say.lostBanner).waitFor()
    await page.getByText('skerry recover', { exact: true }).waitFor()
    await expectAccessible(page)
    await mock('scene/cluster')
    await go('/nodes')
    await page.getByRole('link', { name: 'worker-6' }).waitFor()
    await mock('reach/83/leader')
    await page.getByText(say.stale).waitFor()
    // What was shown stays, and the same page is offered at the others.
    await page.getByRole('link', { name: 'worker-6' }).waitFor()
    expect(await page.locator('.sk-others').getByRole('link', { name: 'skerry-3' }).getAttribute('href')).toBe('https://192.0.2.12:7443/nodes')
    await expectAccessible(page)
    await go('/apps')
    await page.getByText(say.cutOff).waitFor()
    await page.locator('.sk-others').getByRole('link', { name: 'skerry-3' }).waitFor()
    await expectAccessible(page)
    await mock('reach/0/leader')
    await page.getByRole('link', { name: 'shop', exact: true }).waitFor()
    await mock('reach/0/none')
    await go('/nodes')
    await page.getByText(say.leaderless).waitFor()
    await page.getByRole('link', { name: 'worker-6' }).waitFor()
    await mock('reach/0/leader')
    await page.getByText(say.leaderless).waitFor({ state: 'detached' })
  })

  it('did all that without a fault of its own and within its content policy', () => {
    expect(faults).toEqual([])
  })
})
