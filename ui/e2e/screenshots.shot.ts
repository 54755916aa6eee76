import { mkdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { openBrowser } from './browser'
import { openTarget, type Target } from './server'

// Each page x scheme x language x width, over the mock. SHOT picks pages by a part of their name, SCHEMES, LANGUAGES and
// WIDTHS narrow the rest: SHOT=deploy WIDTHS=390 npm run screenshots.
const folder = fileURLToPath(new URL('../screenshots', import.meta.url))
const list = (name: string, all: string[]) => process.env[name]?.split(',') ?? all
const schemes = list('SCHEMES', ['light', 'dark'])
const languages = list('LANGUAGES', ['en', 'zh'])
const widths = list('WIDTHS', ['1280', '390'])

const words = {
  en: { user: 'User name', password: 'Password', signIn: 'Sign in', more: 'More settings', moreActions: 'More actions', remove: 'Remove app', removeNode: 'Remove node', drain: 'Drain', makeLine: 'Make the line to paste', pull: 'Pull', same: 'Same as' },
  zh: { user: '用户名', password: '密码', signIn: '登录', more: '更多设置', moreActions: '更多操作', remove: '删除应用', removeNode: '移除主机', drain: '排空', makeLine: '生成命令', pull: '拉取', same: '等同于' },
}
type Words = (typeof words)['en']

const pages: { name: string; path: string; scene?: string; before?: boolean; act?: (page: Page, say: Words) => Promise<void> }[] = [
  { name: 'setup', path: '/setup', before: true },
  { name: 'sign-in', path: '/sign-in', before: true },
  { name: 'dashboard', path: '/' },
  { name: 'apps', path: '/apps' },
  { name: 'apps-empty', path: '/apps?empty' },
  {
    name: 'deploy',
    path: '/apps/new?image=library/nginx:1.27',
    act: async (page, say) => {
      await page.getByText(say.more).click()
    },
  },
  { name: 'app', path: '/apps/shop' },
  { name: 'app-degraded', path: '/apps/checkout' },
  { name: 'app-failed', path: '/apps/mailer' },
  { name: 'app-logs', path: '/apps/shop?tab=logs', act: async (page) => page.getByRole('log').getByText('GET').first().waitFor() },
  { name: 'app-events', path: '/apps/checkout?tab=events' },
  {
    name: 'app-remove',
    path: '/apps/orders-db',
    act: async (page, say) => {
      await page.getByRole('button', { name: say.moreActions }).click()
      await page.getByRole('menuitem', { name: say.remove }).click()
      await page.getByRole('dialog').waitFor()
    },
  },
  { name: 'app-same', path: '/apps/shop', act: async (page, say) => page.getByRole('button', { name: say.same }).click() },
  { name: 'app-missing', path: '/apps/nothing-here' },
  { name: 'images', path: '/images' },
  {
    name: 'images-pull',
    path: '/images',
    act: async (page, say) => {
      await page.getByRole('button', { name: say.pull, exact: true }).click()
      await page.getByRole('dialog').waitFor()
    },
  },
  { name: 'app-compose', path: '/apps/shop/edit?by=compose', act: async (page) => page.getByRole('textbox').first().waitFor() },
  { name: 'app-revisions', path: '/apps/shop?tab=revisions' },
  { name: 'services', path: '/services' },
  { name: 'containers', path: '/containers' },
  { name: 'container', path: '/containers/shop-web-1' },
  { name: 'container-charts', path: '/containers/shop-web-1?tab=charts', act: async (page) => page.waitForTimeout(1_500) },
  { name: 'container-files', path: '/containers/shop-web-1?tab=files' },
  { name: 'volumes', path: '/volumes' },
  { name: 'audit', path: '/audit' },
  { name: 'nodes', path: '/nodes' },
  { name: 'node', path: '/nodes/skerry-1' },
  { name: 'cluster-nodes', path: '/nodes', scene: 'cluster' },
  { name: 'cluster-dashboard', path: '/', scene: 'cluster' },
  { name: 'cluster-node', path: '/nodes/gpu-worker-with-a-rather-long-name-in-rack-17', scene: 'cluster' },
  { name: 'cluster-node-drained', path: '/nodes/skerry-4', scene: 'cluster' },
  { name: 'cluster-node-down', path: '/nodes/worker-6', scene: 'cluster' },
  { name: 'cluster-service', path: '/services/shop.web', scene: 'cluster' },
  { name: 'cluster-app-waiting', path: '/apps/checkout', scene: 'cluster' },
  { name: 'cluster-add', path: '/nodes?do=add', scene: 'cluster' },
  {
    name: 'cluster-add-line',
    path: '/nodes?do=add',
    scene: 'cluster',
    act: async (page, say) => {
      await page.getByRole('button', { name: say.makeLine }).click()
      await page.getByRole('dialog').locator('pre').first().waitFor()
      await fetch(`${target.url}/mock/join`, { method: 'POST' })
      await page.getByRole('dialog').getByRole('link').first().waitFor()
    },
  },
  { name: 'cluster-drain', path: '/nodes/skerry-2', scene: 'cluster', act: async (page, say) => page.getByRole('button', { name: say.drain, exact: true }).click() },
  {
    name: 'cluster-remove',
    path: '/nodes/skerry-4',
    scene: 'cluster',
    act: async (page, say) => {
      await page.getByRole('button', { name: say.moreActions }).click()
      await page.getByRole('menuitem', { name: say.removeNode }).click()
      await page.getByRole('dialog').getByRole('checkbox').check()
    },
  },
  { name: 'pair-nodes', path: '/nodes', scene: 'pair' },
  { name: 'lost-nodes', path: '/nodes', scene: 'lost', act: async (page) => page.waitForTimeout(2_500) },
  { name: 'lost-dashboard', path: '/', scene: 'lost', act: async (page) => page.waitForTimeout(2_500) },
  { name: 'stale-apps', path: '/apps', scene: 'stale' },
  { name: 'events', path: '/events' },
  { name: 'account', path: '/account' },
  { name: 'account-token', path: '/account?do=token' },
  { name: 'images-upload', path: '/images?do=upload' },
  { name: 'repositories', path: '/repositories' },
  { name: 'repositories-create', path: '/repositories?do=create' },
  { name: 'repository', path: '/repositories/default%2Fweb' },
  { name: 'repository-push', path: '/repositories/default%2Fweb?tab=push' },
  { name: 'repository-image', path: '/repositories/default%2Fweb/images/1.4.2' },
  { name: 'upstreams', path: '/upstreams' },
  { name: 'people', path: '/people' },
  { name: 'users', path: '/users' },
  { name: 'users-create', path: '/users?do=create' },
  { name: 'tenants', path: '/tenants' },
  { name: 'tenant', path: '/tenants/default' },
  { name: 'settings', path: '/settings' },
]

let target: Target
beforeAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  target = await openTarget('busy')
})
afterAll(() => target.stop())

const scene = (name: string) => fetch(`${target.url}/mock/scene/${name}`, { method: 'POST' })

describe.each(widths)('%s px', (width) => {
  describe.each(schemes)('%s', (scheme) => {
    it.each(languages)('%s', async (language) => {
      const { context, close } = await openBrowser({
        viewport: { width: Number(width), height: width === '390' ? 844 : 800 },
        colorScheme: scheme as 'light' | 'dark',
        locale: language === 'zh' ? 'zh-CN' : 'en-US',
        reducedMotion: 'reduce',
      })
      try {
        const say = words[language as 'en' | 'zh']
        const wanted = pages.filter(({ name }) => !process.env.SHOT || name.includes(process.env.SHOT))
        // The pages before signing in come first in the list; one sign-in serves all the others.
        let signedIn = false
        for (const shot of wanted) {
          if (!shot.before && !signedIn) await signIn(context, say)
          signedIn ||= !shot.before
          await take(context, shot, say, `${shot.name}-${width}-${scheme}-${language}`)
        }
      } finally {
        await close()
      }
    })
  })
})

async function signIn(context: BrowserContext, say: Words) {
  await scene('busy')
  const page = await context.newPage()
  await page.goto(`${target.url}/sign-in`)
  await page.getByLabel(say.user).fill('admin')
  await page.getByLabel(say.password).fill('correct-horse')
  await page.getByRole('button', { name: say.signIn }).click()
  await page.waitForURL(`${target.url}/`)
  await page.close()
}

async function take(context: BrowserContext, { path, act, name, scene: of }: (typeof pages)[number], say: Words, file: string) {
  const page = await context.newPage()
  await scene(name === 'setup' ? 'fresh' : name === 'apps-empty' ? 'empty' : of === 'stale' ? 'cluster' : (of ?? 'busy'))
  if (of === 'stale') await fetch(`${target.url}/mock/reach/83/leader`, { method: 'POST' })
  await page.goto(target.url + path)
  await page.getByRole('heading', { level: 1 }).waitFor()
  await page.waitForTimeout(400)
  await act?.(page, say)
  await page.waitForTimeout(250)
  await page.screenshot({ path: `${folder}/${file}.png`, fullPage: true })
  await page.close()
}
