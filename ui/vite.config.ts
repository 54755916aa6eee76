import react from '@vitejs/plugin-react'
import { fileURLToPath } from 'node:url'
import { defineConfig, type ProxyOptions } from 'vite'
import { mockApi } from './mock/plugin'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

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
  preview: { proxy },
  }
})
