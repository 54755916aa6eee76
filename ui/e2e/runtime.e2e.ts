import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openBrowser } from './browser'
import { shellImage } from './image'
import { openTarget, type Target } from './server'

// What runs and its data, by role and label, in both languages: containers, charts, log, terminal, files, commit, volumes,
// node. Against a node the app is made of the distribution's busybox, so that there is a shell; over the mock it is one of
// its apps. It runs after console.e2e.ts, which makes the administrator.
const words = {
  en: {
    user: 'User name', password: 'Password', signIn: 'Sign in', containers: 'Containers', volumes: 'Volumes', filter: 'Name, image, id or address',
    charts: 'Charts', log: 'Log', terminal: 'Terminal', files: 'Files', environment: 'Environment', inspect: 'Inspect', overview: 'Overview',
    cpu: /^CPU over 15 min/, range1h: '1 h', cpu1h: /^CPU over 1 h/, audited: 'Audited as admin', running: 'Running', ended: 'Ended with exit status 0', again: 'Open again',
    searchLog: 'Search the log', matches: /[1-9]\d* match/, only: 'Only matches', newFolder: 'New folder', name: 'Name', create: 'Create', remove: 'Remove', choose: 'Files to upload',
    uploaded: '1 file was uploaded.', removeOf: (name: string) => `Remove ${name}`, downloadOf: (name: string) => `Download ${name}`, more: 'More actions', commit: 'Commit to image', commitName: 'Name of the new image',
    commitSubmit: 'Commit', made: (name: string) => new RegExp(`${name.replace('.', '\\.')} was made`), createVolume: 'Create volume', removeVolume: 'Remove volume', showValues: 'Show values', way: 'Path', back: 'A new session begins here.',
    chooseOf: (name: string) => `Choose ${name}`, restart: 'Restart 1', restartOk: 'Restart',
  },
  zh: {
    user: '用户名', password: '密码', signIn: '登录', containers: '容器', volumes: '数据卷', filter: '名称、镜像、标识或地址',
    charts: '图表', log: '日志', terminal: '终端', files: '文件', environment: '环境变量', inspect: '详情', overview: '概览',
    cpu: /^CPU，最近 15 分钟/, range1h: '1 小时', cpu1h: /^CPU，最近 1 小时/, audited: '操作将以 admin 的名义记入审计', running: '正在运行', ended: '已结束，退出码 0', again: '重新打开',
    searchLog: '搜索日志', matches: /[1-9]\d* 处匹配/, only: '只看匹配行', newFolder: '新建文件夹', name: '名称', create: '创建', remove: '删除', choose: '要上传的文件',
    uploaded: '已上传 1 个文件。', removeOf: (name: string) => `删除 ${name}`, downloadOf: (name: string) => `下载 ${name}`, more: '更多操作', commit: '提交为镜像', commitName: '新镜像名称',
    commitSubmit: '提交', made: (name: string) => new RegExp(`已生成镜像 .*${name.replace('.', '\\.')}`), createVolume: '创建数据卷', removeVolume: '删除数据卷', showValues: '显示值', way: '路径', back: '以下是新的会话。',
    chooseOf: (name: string) => `选择 ${name}`, restart: '重启 1 个', restartOk: '重启',
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

/** Fails with what axe-core calls serious or worse in the page and its dialogs; console.e2e.ts looks at the frame around them. */
async function expectAccessible(page: Page) {
  await page.evaluate(axe)
  const found = await page.evaluate(async () => {
    const run = (window as unknown as { axe: { run: (where: { include: string[] }) => Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> } }).axe.run
    const include = ['main', ...(document.querySelector('[role=dialog]') ? ['[role=dialog]'] : [])]
    return (await run({ include })).violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => node.html.slice(0, 160)) }))
  })
  expect(found.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([])
}

/** Calls the API from the page, with its session, as the page itself does. */
async function call(page: Page, method: string, path: string, body?: unknown, octets?: Buffer): Promise<unknown> {
  return page.evaluate(
    async ({ method, path, body, octets }) => {
      const me = (await (await fetch('/api/v1/session')).json()) as { csrf?: string }
      const bytes = octets === undefined ? undefined : Uint8Array.from(atob(octets), (char) => char.charCodeAt(0))
      const reply = await fetch(`/api/v1${path}`, { method, headers: { 'Skerry-CSRF': me.csrf ?? '', 'Content-Type': bytes ? 'application/x-tar' : 'application/json', Accept: 'application/json' }, body: bytes ?? (body === undefined ? undefined : JSON.stringify(body)) })
      const text = await reply.text()
      if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text}`)
      return text ? (JSON.parse(text) as unknown) : undefined
    },
    { method, path, body, octets: octets?.toString('base64') },
  )
}

describe.each(languages)('what runs, in %s', (language) => {
  const say = words[language]
  let context: BrowserContext
  let page: Page
  let close: () => Promise<void>
  let app = 'hello'
  let container = 'hello-1'
  const faults: string[] = []
  const tab = (name: string) => page.getByRole('tab', { name, exact: true }).click()

  beforeAll(async () => {
    if (!target.real) await fetch(`${target.url}/mock/scene/busy`, { method: 'POST' })
    const browser = await openBrowser({ viewport: { width: 1280, height: 800 }, locale: language === 'zh' ? 'zh-CN' : 'en-US', reducedMotion: 'reduce', acceptDownloads: true })
    context = browser.context
    close = browser.close
    page = await context.newPage()
    page.on('pageerror', (error) => faults.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error' && !/Failed to load resource|net::ERR|WebSocket connection/.test(message.text())) faults.push(message.text())
    })
    await page.goto(target.url)
    if (target.real) {
      // Alone it finds no administrator yet.
      const { needed } = (await call(page, 'GET', '/setup')) as { needed: boolean }
      if (needed) await call(page, 'POST', '/setup', { token: target.setupToken, name: 'admin', password })
    }
    await context.clearCookies()
    await page.goto(`${target.url}/sign-in`)
    await page.getByLabel(say.user).fill('admin')
    await page.getByLabel(say.password).fill(password)
    await page.getByRole('button', { name: say.signIn }).click()
    await page.waitForURL(`${target.url}/`)
    if (!target.real) return
    app = `box-${language}`
    await call(page, 'POST', `/image-imports?name=${encodeURIComponent('box:1')}`, undefined, shellImage('box:1'))
    const script = `i=0; while true; do i=$((i+1)); printf '\\033[32minfo\\033[0m tick %s <img src=x onerror=alert(1)>\\007\\033[2J\\n' $i; sleep 1; done`
    await call(page, 'POST', '/apps?wait=60', { name: app, services: { [app]: { container: { image: 'box:1', command: ['/bin/sh', '-c', script], env: [{ name: 'SECRET', value: 'not shown at once' }], mounts: [{ type: 'volume', source: `data-${language}`, path: '/data' }], memoryBytes: 67_108_864, cpuMillis: 500, stopGraceSeconds: 1 }, replicas: 1 } } })
    const { items } = (await call(page, 'GET', `/containers?app=${app}`)) as { items: { name: string }[] }
    container = items[0]?.name ?? container
  })
  afterAll(() => close())

  it('lists the container and restarts it by the list', async () => {
    await page.getByRole('navigation').getByRole('link', { name: say.containers, exact: true }).click()
    await page.getByLabel(say.filter).fill(container)
    await page.getByRole('link', { name: container, exact: true }).first().waitFor()
    expect(page.url()).toContain(`q=${container}`)
    await page.getByLabel(say.chooseOf(container)).check()
    await page.getByRole('button', { name: say.restart, exact: true }).click()
    await page.getByRole('dialog').getByRole('button', { name: say.restartOk, exact: true }).click()
    await page.getByLabel(say.chooseOf(container)).waitFor()
    await expect.poll(() => page.getByLabel(say.chooseOf(container)).isChecked(), { timeout: 30_000 }).toBe(false)
    await expectAccessible(page)
    await expect
      .poll(async () => ((await call(page, 'GET', `/containers?app=${app}`)) as { items: { status: { phase: string } }[] }).items[0]?.status.phase, { timeout: 30_000 })
      .toBe('running')
  })

  it('shows it and its charts', async () => {
    await page.getByRole('link', { name: container, exact: true }).first().click()
    await page.getByRole('heading', { name: container, level: 1 }).waitFor()
    await expectAccessible(page)
    await tab(say.charts)
    const cpu = page.getByRole('img', { name: say.cpu })
    await cpu.waitFor({ timeout: 30_000 })
    // Drawn, and going on.
    await expect.poll(() => cpu.locator('path').count()).toBeGreaterThan(3)
    const first = await cpu.innerHTML()
    await expect.poll(() => cpu.innerHTML(), { timeout: 20_000 }).not.toBe(first)
    await page.getByText(say.range1h, { exact: true }).click()
    await page.getByRole('img', { name: say.cpu1h }).waitFor({ timeout: 60_000 })
    await expectAccessible(page)
  })

  it('shows its log, searched, without obeying it', async () => {
    await tab(say.log)
    const log = page.getByRole('log')
    const what = target.real ? 'tick' : 'GET'
    await log.getByText(what).first().waitFor()
    await page.getByLabel(say.searchLog).fill(what)
    await page.getByText(say.matches).waitFor()
    await page.getByRole('checkbox', { name: say.only }).check()
    if (target.real) {
      await log.getByText('<img src=x onerror=alert(1)>').first().waitFor()
      expect(await log.locator('img').count()).toBe(0)
    }
    await expectAccessible(page)
  })

  it('opens a terminal, runs in it, and opens it again', async () => {
    await tab(say.terminal)
    await page.getByText(say.audited).waitFor()
    // There is no bash; the next shell was taken without a word.
    await page.locator('code').filter({ hasText: '/bin/sh' }).waitFor()
    const screen = page.locator('.xterm-rows')
    await screen.getByText('#').first().waitFor()
    await page.keyboard.type('ls\r')
    await screen.getByText('etc').first().waitFor()
    if (target.real) {
      await page.keyboard.type('echo $((6*7)) > /tmp/answer; stty size; cat /tmp/answer\r')
      await screen.getByText('42', { exact: false }).first().waitFor()
      const before = await screen.innerText()
      expect(before).toMatch(/\d{2} \d{2,3}/)
    }
    await expectAccessible(page)
    await page.keyboard.type('exit\r')
    await page.getByText(say.ended).waitFor()
    await page.getByRole('button', { name: say.again }).click()
    await screen.getByText(say.back).waitFor()
  })

  it('sends, lists, fetches and removes files', async () => {
    await page.goto(`${target.url}/containers/${container}?tab=files&path=/tmp`)
    const name = 'new\nline 🎉.txt'
    const bytes = Buffer.from('some bytes\0\xff'.repeat(5_000), 'latin1')
    await page.getByRole('button', { name: say.newFolder }).click()
    await page.getByRole('dialog').getByLabel(say.name).fill('made here')
    await page.getByRole('dialog').getByRole('button', { name: say.create, exact: true }).click()
    await page.getByRole('button', { name: 'made here' }).first().click()
    await page.getByRole('navigation', { name: say.way }).getByText('made here').waitFor()
    await page.getByLabel(say.choose).setInputFiles({ name: 'plain.bin', mimeType: 'application/octet-stream', buffer: bytes })
    await page.getByText(say.uploaded).waitFor()
    const fetching = page.waitForEvent('download')
    await page.getByRole('link', { name: say.downloadOf('plain.bin') }).click()
    const download = await fetching
    if (target.real) expect(readFileSync(await download.path()).equals(bytes)).toBe(true)
    await page.getByRole('button', { name: say.removeOf('plain.bin') }).click()
    await page.getByRole('dialog').getByRole('button', { name: say.remove, exact: true }).click()
    await page.getByRole('link', { name: 'plain.bin', exact: true }).waitFor({ state: 'detached' })
    if (target.real) {
      await call(page, 'POST', `/containers/${container}/folders?path=${encodeURIComponent(`/tmp/${name}`)}`)
      await page.goto(`${target.url}/containers/${container}?tab=files&path=/tmp`)
      await page.getByText('\\n').first().waitFor()
      await page.getByText('answer').waitFor()
    }
    await expectAccessible(page)
  })

  it('covers the values of its environment, and shows it as JSON', async () => {
    await tab(say.environment)
    await page.getByRole('button', { name: say.showValues }).waitFor()
    if (target.real) {
      await page.getByText('SECRET').waitFor()
      expect(await page.getByText('not shown at once').count()).toBe(0)
      await page.getByText('GREETING').waitFor()
    }
    await page.getByRole('button', { name: say.showValues }).click()
    if (target.real) await page.getByText('not shown at once').waitFor()
    await expectAccessible(page)
    await tab(say.inspect)
    await page.getByText(`"${container}"`).first().waitFor()
    await expectAccessible(page)
  })

  it('commits it to an image', async () => {
    const image = `box-${language}:committed`
    await page.getByRole('button', { name: say.more }).click()
    await page.getByRole('menuitem', { name: say.commit }).click()
    await page.getByRole('dialog').getByLabel(say.commitName).fill(image)
    await page.getByText(`skerry commit`).first().waitFor()
    await expectAccessible(page)
    await page.getByRole('dialog').getByRole('button', { name: say.commitSubmit, exact: true }).click()
    await page.getByText(say.made(image)).waitFor({ timeout: 60_000 })
  })

  it('makes a volume, browses one, and removes it by its name', async () => {
    await page.goto(`${target.url}/volumes`)
    await page.getByRole('button', { name: say.createVolume }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel(say.name, { exact: true }).fill(`media-${language}`)
    await dialog.getByText(`skerry volume create media-${language}`).waitFor()
    await dialog.getByRole('button', { name: say.create, exact: true }).click()
    await page.getByRole('heading', { name: `media-${language}`, level: 1 }).waitFor()
    await expectAccessible(page)
    await tab(say.files)
    await page.getByLabel(say.choose).setInputFiles({ name: 'song.txt', mimeType: 'text/plain', buffer: Buffer.from('la la') })
    await page.getByRole('link', { name: say.downloadOf('song.txt') }).waitFor()
    await expectAccessible(page)
    await page.getByRole('button', { name: say.more }).click()
    await page.getByRole('menuitem', { name: say.removeVolume }).click()
    await page.getByRole('dialog').getByRole('textbox').fill(`media-${language}`)
    await page.getByRole('dialog').getByRole('button', { name: say.removeVolume }).click()
    await page.getByRole('heading', { name: say.volumes, level: 1 }).waitFor()
  })

  it('shows the node’s charts', async () => {
    const { items } = (await call(page, 'GET', '/nodes')) as { items: { name: string }[] }
    await page.goto(`${target.url}/nodes/${items[0]?.name}?tab=charts`)
    await page.getByRole('img', { name: say.cpu }).waitFor({ timeout: 30_000 })
    await expectAccessible(page)
  })

  it('did all that without a fault of its own and within its content policy', async () => {
    expect(faults).toEqual([])
    if (target.real) await call(page, 'DELETE', `/apps/${app}?wait=60&volumes=true`)
  })
})
