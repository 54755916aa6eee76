import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type BrowserContext, type BrowserContextOptions } from 'playwright-core'

/** The distribution's Chromium: no browser is downloaded. SKERRY_CHROMIUM names another. */
const executablePath = process.env.SKERRY_CHROMIUM ?? '/usr/bin/chromium'

/** Without these it looks up hosts of its maker's at every start, and as root it needs --no-sandbox. */
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage']

/** A browser with a profile of its own, which goes with it. The node's certificate is its own CA's, so it is not asked for. */
export async function openBrowser(options: BrowserContextOptions = {}): Promise<{ context: BrowserContext; close: () => Promise<void> }> {
  const profile = mkdtempSync(join(tmpdir(), 'skerry-chromium-'))
  const context = await chromium.launchPersistentContext(profile, { executablePath, args, headless: true, ignoreHTTPSErrors: true, ...options })
  context.setDefaultTimeout(15_000)
  return {
    context,
    close: async () => {
      await context.close()
      rmSync(profile, { recursive: true, force: true })
    },
  }
}
