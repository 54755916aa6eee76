import react from '@vitejs/plugin-react'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig, type ProxyOptions } from 'vite'
import { mockApi } from './mock/plugin'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** The policy under which the daemon serves the console: the preview that the browser tests drive must not be laxer. */
function contentSecurityPolicy(): string {
  const go = readFileSync(here('../appliance/api/pages.go'), 'utf8')
  const value = /const csp = ((?:"[^"]*"[\s+]*)+)/.exec(go)?.[1]
  if (!value) throw new Error('appliance/api/pages.go has no constant csp')
  return [...value.matchAll(/"([^"]*)"/g)].map((part) => part[1]).join('')
}

/** Where the dev server sends API calls; `--mode mock` answers them itself instead. */
const daemon = process.env.SKERRY_URL ?? 'https://127.0.0.1:7443'

export default defineConfig(({ mode }) => {
  const proxy: Record<string, ProxyOptions> = mode === 'mock' ? {} : { '/api': { target: daemon, secure: false, ws: true } }
  return {
  plugins: [react(), ...(mode === 'mock' ? [mockApi()] : [])],
  resolve: { alias: { '@mock': here('./mock'), '@': here('./src') } },
  build: {
    target: 'es2023',
    manifest: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
  },
  server: { proxy },
  preview: { proxy, headers: { 'Content-Security-Policy': contentSecurityPolicy() } },
  }
})
