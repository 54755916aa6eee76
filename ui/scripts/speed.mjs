// Measures the console in Chromium and prints one line `name=value unit` for each figure.
import { fileURLToPath } from 'node:url'
import { runnerImport } from 'vite'

const { module } = await runnerImport(fileURLToPath(new URL('../e2e/speed.ts', import.meta.url)), { configFile: false, logLevel: 'error' })
await module.measure((line) => console.log(line))
